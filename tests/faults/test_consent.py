"""Results name the local plugins that they were made with: these are code, and nobody's code runs unasked."""

import re
from pathlib import Path

import pytest

import lvmbench
from lvmbench.errors import UserError
from lvmbench.registry.loader import PluginSelection
from lvmbench.results.consent import Consent

PLUGIN = """
import lvmbench
from lvmbench_plugins.priors.standard_normal import StandardNormal

with open("MARK", "a") as file:
    file.write("imported")

class Marked(StandardNormal):
    "A standard normal whose file leaves a mark when it is imported."

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("marked", Marked)
"""
COMMANDS = {
    "evaluate": ("--evaluator", "clustering"),
    "retry": (),
    "report": (),
    "publish": ("TARGET",),
}
READING = {
    "status": (),
    "leaderboard": (),
    "leaderboard ": ("--format", "csv"),
    "compare": ("prior=marked", "prior=standard_normal"),
}


class Foreign:
    """Results that a plugin was part of, as a stranger gives them away."""

    def __init__(self, tiny, cli):
        self.out, self.mark, self._cli = tiny.folder / "out", tiny.folder / "mark", cli
        self.target = tiny.folder / "board"
        name = f"marking_{tiny.folder.name}"  # modules are loaded once
        self.plugin = tiny.plugin(name, PLUGIN.replace("MARK", str(self.mark)))
        tiny.run(plugins=[self.plugin], priors=["marked", "standard_normal"], seeds=[0])
        self.mark.unlink()

    def call(self, command, *words):
        """What a command shows."""
        return self._cli(command.strip(), self.out, *(self.target if w == "TARGET" else w for w in words))

    @property
    def imported(self):
        """Whether the plugin has been imported since."""
        return self.mark.exists()


@pytest.fixture
def foreign(tiny, cli):
    return Foreign(tiny, cli)


def test_no_command_imports_what_results_name_unasked(foreign):
    for command, words in COMMANDS.items():
        shown = foreign.call(command, *words)
        assert (shown.code, shown.err.count("\n")) == (2, 1), (command, shown)
        assert f"would be imported: '{foreign.plugin}'; look at them, and allow each by --plugin" in shown.err
    shown = foreign.call("verify")
    assert shown.code == 0
    assert "weights: 2 of 2 as on record" in shown.out
    assert "figures measured again: cannot be verified: the results name local plugins" in shown.out
    assert not foreign.target.exists()
    assert not foreign.imported


def test_tables_are_read_without_what_results_name(foreign):
    for command, words in READING.items():
        assert foreign.call(command, *words).code == 0, command
    results = lvmbench.load(foreign.out)
    assert len(results.leaderboard()) == len(results.records) == 2
    assert not results.curves.empty
    assert "marked" in results._repr_html_()
    assert not foreign.imported


def test_what_is_allowed_is_imported(foreign):
    words = ["--evaluator", "clustering", "--jobs", 0, "--plugin", foreign.plugin]
    shown = foreign.call("evaluate", *words)
    assert (shown.code, foreign.imported) == (0, True), shown
    assert "on record" in foreign.call("verify", "--sample", 1, "--trust").out.splitlines()[-1]


def test_what_is_given_stands_for_what_has_its_name_elsewhere():
    named = PluginSelection(("/theirs/one.py", "module"), ("left_out",))
    given = PluginSelection(("/ours/one.py", "more"))
    assert Consent(given, trust=True).to(named) == PluginSelection(
        ("/ours/one.py", "module", "more"), ("left_out",)
    )
    with pytest.raises(UserError, match=r"imported: module 'module' \(not there\); look"):
        Consent(given).to(named)


def test_models_are_made_of_allowed_plugins_alone(foreign):
    run = lvmbench.load(foreign.out).records.iloc[0]
    with pytest.raises(UserError, match=re.escape("(in Python plugins= or trust=True)")):
        lvmbench.load(foreign.out).fitted(run)
    assert not foreign.imported
    for options in ({"trust": True}, {"plugins": [foreign.plugin]}):
        assert lvmbench.load(foreign.out, **options).fitted(run).model.prior is not None


@pytest.mark.slow
def test_a_published_board_is_read_with_a_report_and_imports_nothing(foreign, cli, monkeypatch):
    assert foreign.call("publish", "TARGET", "--trust").code == 0
    foreign.mark.unlink()
    monkeypatch.setattr("lvmbench.api.report.leading", pytest.fail)
    for command in ("leaderboard", "report", "verify"):
        assert cli(command, foreign.target).code == 0, command
    assert (foreign.target / Path(foreign.plugin).name).is_file()
    assert not foreign.imported


def test_a_module_is_told_of_with_the_file_that_it_is_in(foreign, tiny):
    (tiny.folder / "gone").mkdir()
    with tiny.store() as store:
        store.note(plugins='[["json.tool", "not_there_at_all", "/x/\\u001b[31mred.py"], []]')
    err = foreign.call("retry").err
    assert "module 'json.tool' (" in err
    assert "json/__init__.py), module 'not_there_at_all' (not there), '/x/\\x1b[31mred.py' (not there)" in err


def test_what_a_run_was_given_needs_no_second_consent(tiny):
    mark = tiny.folder / "mark"
    plugin = tiny.plugin("marking_once", PLUGIN.replace("MARK", str(mark)))
    suite = tiny.write(priors=["marked"], seeds=[0])
    options = {"plugins": [plugin], "jobs": 0, "baselines": False, "progress": False}
    results = lvmbench.run(suite, tiny.folder / "own", **options)
    assert results.fitted(results.records.iloc[0]).model.prior is not None
