"""The example plugins: each can be installed, is listed, keeps its contracts, and trains."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest

import lvmbench
from lvmbench.checks import check
from lvmbench.registry.loader import load_catalogue
from lvmbench.suites.yamlfile import YamlFile

EXAMPLES = Path(__file__).parent.parent / "examples"
BRINGS = {
    "laplace": ["prior/laplace"],
    "moons": ["dataset/moons", "evaluator/energy_distance", "suite/moons"],
}
SUITES = {"laplace": "suite.yaml", "moons": "lvmbench_moons/moons.yaml"}
each_example = pytest.mark.parametrize("name", BRINGS)


@pytest.fixture
def installed(install_project, tmp_path):
    """A copy of an example, installed."""

    def install(name):
        folder = tmp_path / f"lvmbench-{name}"
        shutil.copytree(EXAMPLES / folder.name, folder, ignore=shutil.ignore_patterns("__pycache__"))
        install_project(folder)
        return folder

    return install


@each_example
def test_example_is_listed_with_its_distribution(installed, name):
    installed(name)
    catalogue = load_catalogue()
    assert catalogue.problems == ()
    own = [e for e in catalogue.entries() if e.distribution == f"lvmbench-{name}"]
    assert sorted(f"{e.kind}/{e.name}" for e in own) == sorted(BRINGS[name])
    assert all(e.summary for e in own)


@each_example
def test_example_passes_the_checks(installed, name):
    installed(name)
    for component in BRINGS[name]:
        if not component.startswith("suite/"):
            report = check(component)
            assert report.ok, report.failed


@each_example
def test_suite_of_an_example_trains(installed, tiny, name):
    """The suite as it is, but for fewer epochs and one seed."""
    suite = YamlFile(installed(name) / SUITES[name]).plain
    suite["budget"]["epochs"] = 2
    found = lvmbench.run(suite, tiny.folder / "out", seeds=1, jobs=0, progress=False)
    assert set(found.records["status"]) == set(found.evaluations["status"]) == {"ok"}


@each_example
def test_own_tests_of_an_example_pass(installed, name):
    """All but the checks, which are run above."""
    folder = installed(name)
    spec = importlib.util.spec_from_file_location(f"own_tests_{name}", folder / "tests" / f"test_{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    anchors = [f for n, f in vars(module).items() if n.startswith("test_") and n != "test_conformance"]
    assert anchors
    for anchor in anchors:
        anchor()


def test_the_one_file_example_is_short_and_works_as_a_local_plugin(cli):
    file = EXAMPLES / "lvmbench-laplace" / "lvmbench_laplace.py"
    assert len([line for line in file.read_text().splitlines() if line.strip()]) < 40
    rows = json.loads(cli("list", "prior", "--plugin", file, "--json").out)
    assert "laplace" in {row["name"] for row in rows}


@each_example
def test_commands_of_the_readme_are_about_what_there_is(name):
    readme = (EXAMPLES / f"lvmbench-{name}" / "README.md").read_text()
    components = [c for c in BRINGS[name] if not c.startswith("suite/")]
    assert re.findall(r"lvmbench check (\S+)", readme) == components
