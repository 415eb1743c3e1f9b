"""``lvmbench new``: for each kind, what it writes can be installed, listed, checked and trained as it is."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lvmbench
from lvmbench.cli.app import app
from lvmbench.cli.creating import _Names
from lvmbench.kinds import COMPONENTS
from lvmbench.registry.loader import load_catalogue
from lvmbench.suites.yamlfile import YamlFile


def run(*command, **variables):
    """What a command writes; it must succeed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


each_kind = pytest.mark.parametrize("kind", COMPONENTS)
AXES = {"dataset": "datasets", "estimator": "estimators", "evaluator": "evaluators"}


@pytest.fixture
def new(cli, tmp_path):
    """Create something; the folder it was written to."""

    def create(kind, name, *options, code=0):
        shown = cli("new", kind, name, "--out", tmp_path / "made", *options)
        assert shown.code == code, shown.err
        return tmp_path / "made" / f"lvmbench-{name}" if code == 0 else shown.err

    return create


def write_all(folder, prefix):
    """A project of each kind."""
    for kind in COMPONENTS:
        app(["new", kind, f"{prefix}_{kind}", "--out", str(folder)], standalone_mode=False)
    return [folder / f"lvmbench-{prefix}_{kind}" for kind in COMPONENTS]


# --- a project ----------------------------------------------------------------------------------------------


@each_kind
def test_project_is_listed_with_its_distribution(new, install_project, kind):
    project = install_project(new(kind, "fresh"))
    assert (project["name"], project["version"], project["license"]) == ("lvmbench-fresh", "0.1.0", "MIT")
    catalogue = load_catalogue()
    assert catalogue.problems == ()
    entry = catalogue.entry(kind, "fresh")
    assert (entry.plugin, entry.distribution, entry.version) == ("fresh", "lvmbench-fresh", "0.1.0")
    assert entry.summary.endswith(".")
    assert entry.load().__name__ == f"Fresh{kind.capitalize()}"


@each_kind
def test_suite_of_a_project_trains(new, install_project, tiny, kind):
    """The suite as it is, but for fewer epochs and one seed."""
    folder = new(kind, "fresh")
    install_project(folder)
    suite = YamlFile(folder / "suite.yaml").plain
    suite["budget"]["epochs"] = 2
    found = lvmbench.run(suite, tiny.folder / "out", seeds=1, jobs=0, progress=False)
    assert set(found.records["status"]) == set(found.evaluations["status"]) == {"ok"}
    column = "evaluator" if kind == "evaluator" else kind
    table = found.evaluations if kind == "evaluator" else found.records
    assert "fresh" in set(table[column])
    assert len(table) >= 2


def test_tests_of_all_seven_projects_pass(tmp_path):
    """In one process of their own, as ``pytest`` runs them:
    every project's checks, its example and its anchor.
    """
    projects = write_all(tmp_path, "own")
    for project in projects:
        name = project.name.removeprefix("lvmbench-")
        info = project / f"lvmbench_{name}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project.name}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[lvmbench]\n{name} = lvmbench_{name}\n")
    options = ["-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", tmp_path, "-rp"]
    folders = [project / "tests" for project in projects]
    path = os.pathsep.join(map(str, projects))
    shown = run(sys.executable, "-m", "pytest", *options, *folders, PYTHONPATH=path, COLUMNS="200")
    for kind in COMPONENTS:
        passed = re.findall(rf"^PASSED \S*/test_own_{kind}.py::(\w+)", shown, re.MULTILINE)
        assert len(set(passed)) == 3, shown  # conformance, example, anchor
        assert passed.count("test_conformance") >= 5, shown


def test_hook_of_a_project_does_not_import_torch(new):
    code = "import sys, lvmbench_fresh; assert 'torch' not in sys.modules"
    run(sys.executable, "-c", code, PYTHONPATH=str(new("prior", "fresh")))


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed")
def test_what_is_written_is_formatted_and_free_of_lint(tmp_path):
    projects = write_all(tmp_path, "clean")
    ruff = [sys.executable, "-m", "ruff"]
    run(
        *ruff, "check", "--no-cache", "--extend-select", "E,B,I,N,RET,SIM,UP,W", "--ignore", "N806", *projects
    )
    run(*ruff, "format", "--no-cache", "--check", *projects)


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0", "BSD-3-Clause"])
def test_licence_is_the_one_asked_for(new, licence):
    folder = new("prior", "fresh", "--licence", licence)
    assert licence.split("-")[0].split("2")[0] in (folder / "LICENSE").read_text().replace(
        "MIT License", "MIT"
    )
    assert f'license = "{licence}"' in (folder / "pyproject.toml").read_text()


def test_licence_may_be_left_open(new):
    folder = new("prior", "fresh", "--licence", "none")
    assert not (folder / "LICENSE").exists()
    assert (
        "licen" not in ((folder / "pyproject.toml").read_text() + (folder / "README.md").read_text()).lower()
    )


def test_next_steps_are_shown(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = cli("new", "posterior", "my_flow")
    assert shown.out == (
        "wrote lvmbench-my_flow (9 files)\n"
        "next: pip install -e lvmbench-my_flow; lvmbench check posterior/my_flow; lvmbench run "
        "lvmbench-my_flow/suite.yaml\n"
    )
    assert all(b"{{" not in p.read_bytes() or p.suffix == ".yml" for p in Path().rglob("*") if p.is_file())


# --- one file -----------------------------------------------------------------------------------------------


def definition(path):
    """What a file defines, without what it imports and registers."""
    return path.read_text().partition("\nclass ")[2]


@each_kind
def test_single_file_has_what_a_project_has_and_is_listed_and_trained(new, cli, tiny, kind):
    """What a project has is checked by its own tests."""
    name = f"single_{kind}"
    project = new(kind, name)
    shown = cli("new", kind, name, "--here", "--out", tiny.folder)
    file = tiny.folder / f"lvmbench_{name}.py"
    assert shown.out.startswith(f"wrote {file}\n")
    listed = json.loads(cli("list", kind, "--plugin", file, "--json").out)
    assert str(file) in {row["distribution"] for row in listed if row["name"] == name}
    assert definition(file) == definition(project / f"lvmbench_{name}" / f"{kind}.py") != ""
    written = {"dataset": f"{name}[train=60,validation=20,test=20]"}.get(kind, name)
    decoder = {"decoders": ["gaussian[hidden=8]"]}
    summary = tiny.run(plugins=[str(file)], **{**decoder, AXES.get(kind, f"{kind}s"): [written]})
    assert set(summary.counts) == set(summary.evaluations) == {"ok"}


# --- names --------------------------------------------------------------------------------------------------

BAD = {
    "my-prior": "; try 'my_prior'",
    "a b": "; try 'a_b'",
    "2moons": "; try 'moons'",
    "class": "; try 'my_class'",
    "moons_": "; try 'moons'",
    "_moons": "; try 'moons'",
    "größe": "; try 'gr_e'",
    "": "",
    "!": "",
    "..": "",
}


@pytest.mark.parametrize("name", BAD)
def test_name_must_be_an_identifier(new, tmp_path, name):
    rule = (
        "it must be a Python identifier of ASCII letters, digits and '_' that starts with a letter "
        "and does not end in '_'"
    )
    assert new("prior", name, code=2) == f"lvmbench: '{name}' cannot be a name: {rule}{BAD[name]}\n"
    assert not (tmp_path / "made").exists()


TAKEN = {
    "component": ("prior", "mixture", "prior 'mixture' is registered by lvmbench 0.1.0 already"),
    "plugin": ("prior", "reference", "lvmbench has a plugin called 'reference' already"),
    "module": ("prior", "plugins", "there is a module 'lvmbench_plugins' already"),
}


@pytest.mark.parametrize("what", TAKEN)
def test_name_must_be_free(new, tmp_path, what):
    kind, name, message = TAKEN[what]
    assert new(kind, name, code=2) == f"lvmbench: {message}; give another name\n"
    assert not (tmp_path / "made").exists()


def test_name_of_another_kind_is_free(new):
    assert (new("decoder", "mixture") / "suite.yaml").is_file()


@pytest.mark.parametrize("options", [(), ("--here",)])
def test_nothing_is_overwritten(new, tmp_path, options):
    new("prior", "fresh", *options)
    before = {p: p.read_bytes() for p in (tmp_path / "made").rglob("*") if p.is_file()}
    assert "is there already and is not overwritten; give another name or --out" in new(
        "decoder", "fresh", *options, code=2
    )
    assert {p: p.read_bytes() for p in (tmp_path / "made").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("kind", ["priors", "suite", "Prior", ""])
def test_unknown_kind_names_the_nearest(new, kind):
    message = new(kind, "fresh", code=2)
    assert message.startswith(f"lvmbench: unknown kind '{kind}'; ")
    assert "prior" in message


def test_folder_that_cannot_be_written_is_one_line(cli, tmp_path):
    (tmp_path / "file").write_text("")
    shown = cli("new", "prior", "fresh", "--out", tmp_path / "file")
    assert shown.code == 2
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "name", "cls"),
    [
        ("prior", "vamp", "VampPrior"),
        ("prior", "my_prior", "MyPrior"),
        ("prior", "prior", "PriorPrior"),
        ("dataset", "two_moons", "TwoMoonsDataset"),
        ("estimator", "a_1", "A1Estimator"),
    ],
)
def test_class_is_named_after_component_and_kind(kind, name, cls):
    assert _Names(kind, name).cls == cls


# --- the real thing -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_project_is_installed_by_pip(tmp_path):
    """A wheel in an environment of its own that sees the packages of this one."""
    (project,) = [p for p in write_all(tmp_path, "pip") if p.name.endswith("posterior")]
    python = environment(tmp_path / "venv")
    pip(python, project)
    listed = json.loads(run(python, "-m", "lvmbench", "list", "posterior", "--json"))
    (row,) = [r for r in listed if r["name"] == "pip_posterior"]
    assert (row["distribution"], row["version"]) == ("lvmbench-pip_posterior", "0.1.0")
    run(python, "-m", "lvmbench", "check", "posterior/pip_posterior")
    shown = run(python, "-m", "lvmbench", "run", str(project / "suite.yaml"), "--out", str(tmp_path / "out"))
    assert "runs: 4 ok" in shown


def environment(folder):
    """A fresh environment that sees the packages of this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    ours = [p for p in sys.path if p.endswith("-packages")]
    ours += [str(Path(lvmbench.__file__).parents[1] / part) for part in ("", "plugins")]
    Path(site, "outer.pth").write_text("".join(f"import site; site.addsitedir({p!r})\n" for p in ours))
    return python


def pip(python, project):
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    run(python, "-m", "pip", "install", *options, str(project))
