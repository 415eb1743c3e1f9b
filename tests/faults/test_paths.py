"""Names, options, links, and what components do to a process: nothing is written where it does not belong."""

import os

import pytest

import lvmbench
from lvmbench.errors import UserError
from lvmbench.execution.local import LocalExecutor
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.results.per_datum import per_datum_file

PLUGIN = """
import os, torch, lvmbench
from lvmbench import Evaluator, Measurement, Metric

class Saying(Evaluator):
    "Has a text among its options, and figures of single data."
    metrics = {"figure": Metric("Figure", "nats", "higher", "a figure")}
    def __init__(self, *, word: str = "none"):
        self.word = word
    def evaluate(self, subject):
        yield Measurement("figure", float(len(self.word)), per_datum=torch.full((20,), len(self.word) / 2))

class Moving(Saying):
    "Changes what its process shares with others."
    def evaluate(self, subject):
        os.chdir("/")
        os.umask(0o777)
        os.environ["LEFT"] = "behind"
        return super().evaluate(subject)

@lvmbench.hookimpl
def lvmbench_register(register):
    register.evaluator("saying", Saying)
    register.evaluator("Saying", type("Loud", (Saying,), {"__doc__": "The same."}))
    register.evaluator("n" * 300, type("Long", (Saying,), {"__doc__": "The same."}))
    register.evaluator("moving", Moving)
"""
WORDS = ["../../../../escaped", "/escaped", ".", "y" * 300, "a\0b", "'; DROP TABLE runs; --", "A", "a", "é/é"]
NAMES = ["../up", "/top", ".hidden", "a/b", "a\0b", "", "a b", "';--", "a\n"]
ONE = {"priors": ["standard_normal"], "seeds": [0]}


def files(folder):
    """Everything below a folder, by its path there."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_whatever_an_option_says_is_written_into_the_folder(tiny):
    plugin = tiny.plugin("saying", PLUGIN)
    evaluators = [*({"saying": {"word": word}} for word in WORDS), "Saying", "n" * 300]
    before = files(tiny.folder) | {"tiny.yaml"}
    tiny.run(plugins=[plugin], evaluators=evaluators, **ONE)
    evaluations = tiny.frame("evaluations")
    assert evaluations["status"].tolist() == ["ok"] * len(evaluators)
    # Python keeps what it has compiled of the plugin beside it
    elsewhere = {path for path in files(tiny.folder) - before if not path.startswith(("out", "__pycache__"))}
    assert elsewhere == set()
    folder = tiny.folder / "out" / "weights"
    (key,) = evaluations["key"].unique()
    made = [per_datum_file(folder, key, name) for name in evaluations["evaluator"]]
    assert all(file.is_file() for file in made)
    assert len({str(file).lower() for file in made}) == len(evaluators), "also where case does not count"
    per_datum = lvmbench.load(tiny.folder / "out")._reader()
    found = {name: per_datum(key, name, "figure") for name in evaluations["evaluator"]}
    assert sorted(2 * values[0] for values in found.values()) == sorted([*map(len, WORDS), 4, 4])


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_a_component_of_such_a_name_is_a_problem_of_its_plugin(tmp_path, number):
    file, name = tmp_path / f"naming_{number}.py", NAMES[number]
    hook = "import lvmbench\n@lvmbench.hookimpl\ndef lvmbench_register(register):\n"
    file.write_text(f"{hook}    register.prior({name!r}, 'nothing:Nothing')\n")
    (problem,) = load_catalogue(PluginSelection((str(file),))).problems
    assert "must be letters, digits" in problem.message
    assert "\n" not in str(problem)


@pytest.mark.parametrize("name", ["../up", "/top", ".hidden", "a//b", "a/../b", "a\0b", "';--", "n" * 300])
def test_a_suite_of_such_a_name_is_one_line(tiny, cli, monkeypatch, name):
    monkeypatch.chdir(tiny.folder)
    shown = cli("run", tiny.write(suite=name), "--jobs", 0)
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert files(tiny.folder) == {"tiny.yaml"}


def link(folder, name, content=None):
    """Make a link in a folder to something that is elsewhere: a folder, or a file with content."""
    target = folder.parent / f"elsewhere-{name.replace('/', '-')}"
    if content is None:
        target.mkdir()
    else:
        target.write_text(content)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(target)
    return target


@pytest.mark.parametrize("name", ["leaderboard.md", "suite.yaml", "remarks.json", "weights", "weights/x"])
def test_nothing_is_written_through_a_link(tiny, cli, name):
    out, content = tiny.folder / "out", None if name.startswith("weights") else "precious"
    target = link(out, name, content)
    shown = cli("run", tiny.write(**ONE), "--out", out, "--jobs", 0, "--no-baselines")
    assert (shown.code, shown.err.count("\n")) == (2, 1)
    assert f"'{out / name}' is a symbolic link" in shown.err
    assert list(target.iterdir()) == [] if content is None else target.read_text() == "precious"


def test_a_store_that_is_a_link_is_not_even_read(tiny, cli):
    tiny.have(**ONE)
    out = tiny.folder / "out"
    target = link(out, "elsewhere.sqlite", "")
    (out / "store.sqlite").unlink()
    (out / "store.sqlite").symlink_to(target)
    for command in ("status", "leaderboard", "retry"):
        shown = cli(command, out)
        assert (shown.code, shown.err.count("\n")) == (2, 1)
        assert "store.sqlite' is a symbolic link" in shown.err
    assert target.read_text() == ""


def test_what_a_component_changes_in_its_process_stays_in_its_job(tiny, monkeypatch):
    monkeypatch.chdir(tiny.folder)
    mask = os.umask(0o022)
    try:
        plugin = tiny.plugin("moving", PLUGIN)
        evaluators = ["moving", "saying"]
        tiny.run(plugins=[plugin], evaluators=evaluators, **ONE)
        os.umask(now := os.umask(0))
    finally:
        os.umask(mask)
    assert (now, os.getcwd(), "LEFT" in os.environ) == (0o022, str(tiny.folder), False)
    reasons = tiny.frame("evaluations").set_index("evaluator")["reason"]
    assert reasons["saying"] == ""
    assert reasons["moving"] == (
        "a component changed the working directory, the mode of new files, which was undone"
    )


@pytest.mark.slow
def test_what_floods_its_output_leaves_the_end_of_it_and_no_more(capfd):
    with LocalExecutor(1) as executor:
        line = "[os.write(fd, b'x' * 10**6) for _ in range(300) for fd in (1, 2)]; print('the end')"
        executor.submit(0, "tests.faults.jobs:act", line)
        (ended,) = executor.completed(300)
    assert (ended.outcome, ended.log[-7:]) == ("done", "the end")
    assert len(ended.log) <= 4_000
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_is_a_link_itself_is_written_to(tiny):
    (tiny.folder / "real").mkdir()
    (tiny.folder / "out").symlink_to(tiny.folder / "real")
    assert tiny.run(**ONE).counts == {"ok": 1}


def test_a_folder_of_too_long_a_name_is_one_line(tiny):
    with pytest.raises(UserError, match="File name too long; give another directory"):
        tiny.run("o" * 300, **ONE)
