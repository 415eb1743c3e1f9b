"""The conformance kit itself: targets, expected failures, minimum counts, pytest, the command line."""

import importlib
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from lvmbench import DiagonalNormal, LatentSpace, Prior, UserError, WeightObjective
from lvmbench.catalogue import Catalogue, Entry
from lvmbench.checks import MINIMUM, check, parametrize_with_checks
from lvmbench.checks.contract import BUILT, KINDS, checks_of
from lvmbench.checks.report import CheckResult, Outcome, Report
from lvmbench.checks.statistics import require_average
from lvmbench.plugins import load_catalogue

CATALOGUE = load_catalogue()
FAST = ["summary_is_one_sentence", "formula_is_stated", "samples_have_their_shapes"]
PLUGIN = '''
import lvmbench, torch
from lvmbench import DiagonalNormal, LatentSpace, Prior, Objective

class Scaled(Prior):
    """A normal prior whose scale is learned.

    .. math:: p(z) = N(z; 0, s^2)

    References:
        A Book (Somebody, 1999), https://example.org

    Example:
        >>> Scaled.__name__
        'Scaled'
    """

    distribution = DiagonalNormal

    def __init__(self, data, latent):
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.zeros(latent))

    @property
    def space(self):
        return LatentSpace(tuple(self.log_scale.shape))

    def forward(self, model):
        return DiagonalNormal(torch.zeros_like(self.log_scale), self.log_scale)

class Broken(Objective):
    """A bound that cannot be computed."""

    def forward(self, terms, kl_weight=1.0):
        raise RuntimeError("boom")

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("scaled", Scaled)
    register.objective("broken", Broken)
'''


class Fixed(Prior):
    """A prior without anything to learn."""

    distribution = DiagonalNormal

    def __init__(self, data, latent):
        super().__init__()
        self.latent = latent

    @property
    def space(self):
        return LatentSpace((self.latent,))

    def forward(self, model):
        return DiagonalNormal(torch.zeros(self.latent), torch.zeros(self.latent))


@pytest.fixture
def plugin(tmp_path, request):
    """A plugin file of its own name, as modules are loaded once."""
    path = tmp_path / f"plugin_{re.sub(r'[^a-z]', '_', request.node.name)}.py"
    path.write_text(PLUGIN)
    yield path
    sys.modules.pop(path.stem, None)


def status(report):
    return {result.check: str(result.status) for result in report}


# --- targets ------------------------------------------------------------------------------------------------


def test_names_with_kinds_options_entries_and_classes_are_targets():
    entry = CATALOGUE.entry("prior", "mixture")
    for target in ("mixture", "prior/mixture", "mixture[components=3]", entry, Fixed):
        report = check(target, catalogue=CATALOGUE, only=["samples_have_their_shapes"])
        assert [r.status for r in report] == [Outcome.PASSED], target


def test_name_of_several_kinds_means_all_of_them():
    both = check("gaussian", catalogue=CATALOGUE, only=["formula_is_stated"])
    assert [r.component for r in both] == ["posterior/gaussian", "decoder/gaussian"]
    (one,) = check("gaussian", catalogue=CATALOGUE, kind="decoder", only=["formula_is_stated"])
    assert one.name == "decoder/gaussian:formula_is_stated"


def test_file_means_all_that_it_registers(plugin):
    report = check(plugin, catalogue=CATALOGUE)
    assert {r.component for r in report} == {"prior/scaled", "objective/broken"}
    failed = {r.name: r.message for r in report.failed}
    assert (
        "it raised RuntimeError: boom, in forward" in failed["objective/broken:bound_is_one_figure_per_datum"]
    )
    assert f"{plugin}:" in failed["objective/broken:bound_is_one_figure_per_datum"]
    assert not [name for name in failed if name.startswith("prior/")]
    assert len(report.summary) == 2


def test_a_broken_partner_is_not_the_others_fault(plugin):
    whole = Catalogue([*CATALOGUE.entries(), *(r for r in _entries(plugin))])
    report = check("prior/mixture", catalogue=whole, only=["works_with_every_partner"])
    assert report.ok


def _entries(plugin):
    from lvmbench.plugins import PluginSelection

    loaded = load_catalogue(PluginSelection(extra=(str(plugin),)))
    return [e for e in loaded.entries() if e.distribution == str(plugin)]


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("gausian", {}, "unknown component 'gausian'; did you mean 'gaussian'"),
        ("priorr/mixture", {}, "unknown kind 'priorr' in 'priorr/mixture'; did you mean 'prior'"),
        ("mixture", {"kind": "decoder"}, "unknown decoder 'mixture'"),
        ("mixture[component=3]", {}, "has no option 'component'; did you mean 'components'"),
        ("mixture[", {}, "is not a name"),
        ("mixture", {"only": ["shape"]}, "unknown check 'shape'"),
        ("mixture", {"expected_failures": {"nothing": "why"}}, "expected failure of unknown check 'nothing'"),
        ("no/such/file.py", {}, "no file"),
        (int, {}, "'int' is no component; it must derive from one of Dataset, Prior"),
        (Fixed, {"kind": "decoder"}, "it must derive from one of Decoder"),
    ],
)
def test_bad_targets_are_user_errors(target, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check(target, catalogue=CATALOGUE, **options)


def test_file_that_fails_or_registers_nothing_is_a_user_error(tmp_path):
    broken, empty = tmp_path / "checks_broken.py", tmp_path / "checks_empty.py"
    broken.write_text("1 / 0")
    empty.write_text("import lvmbench\n@lvmbench.hookimpl\ndef lvmbench_register(register): ...\n")
    with pytest.raises(UserError, match="ZeroDivisionError"):
        check(broken, catalogue=CATALOGUE)
    with pytest.raises(UserError, match="registers no component"):
        check(empty, catalogue=CATALOGUE)


def test_class_that_cannot_be_imported_fails_and_does_not_raise():
    entry = Entry("prior", "lost", "nothing.of.this:Name", "p", "d", "1")
    first, *others, minimum = check(entry, catalogue=CATALOGUE)
    assert first.status == "failed"
    assert "ModuleNotFoundError" in first.message
    assert {(r.status, r.reason) for r in others} == {("skipped", "it cannot be imported")}
    assert minimum.status == "failed"


# --- judging ------------------------------------------------------------------------------------------------


def test_expected_failures_are_strict():
    expected = {"formula_is_stated": "none is known", "summary_is_one_sentence": "it will be one"}
    report = check(Fixed, catalogue=CATALOGUE, only=FAST, expected_failures=expected)
    assert status(report) == {
        "formula_is_stated": "expected",
        "summary_is_one_sentence": "failed",
        "samples_have_their_shapes": "passed",
    }
    (failed,) = report.failed
    assert "it passed, but was expected to fail: it will be one" in failed.message
    (expected_one,) = [r for r in report if r.status == "expected"]
    assert expected_one.reason == "none is known"
    assert check(Fixed, catalogue=CATALOGUE, only=FAST, expected_failures={"formula_is_stated": "x"}).ok


def test_fewer_checks_than_the_minimum_is_a_failure():
    class Choosy(Fixed):
        """A prior that no posterior provides for."""

        requires = frozenset({"posterior.nothing_of_this_name"})

    report = check(Choosy, catalogue=CATALOGUE)
    minimum = {r.check: r for r in report}["minimum"]
    assert minimum.status == "failed"
    assert "no partners in the catalogue provide posterior.nothing_of_this_name" in minimum.message
    assert report.counts["skipped"] > 20


def test_no_minimum_for_chosen_checks():
    assert "minimum" not in status(check(Fixed, catalogue=CATALOGUE, only=FAST))


def test_minimum_is_met_with_room_and_below_what_there_is():
    for kind in KINDS:
        assert 0.5 * len(checks_of(kind)) < MINIMUM[kind] < len(checks_of(kind))


def test_same_check_twice_gives_the_same_report_and_leaves_global_state():
    before = torch.random.get_rng_state()
    one, other = (check("score", catalogue=CATALOGUE, only=["bound_is_one_figure_per_datum"]) for _ in "ab")
    assert one == other
    assert torch.equal(torch.random.get_rng_state(), before)


def test_report_of_nothing_is_not_ok():
    assert not Report().ok


def test_averages_are_told_from_others():
    draws = torch.randn(10_000, 3, generator=torch.Generator().manual_seed(0))
    require_average(draws, 0.0, "the mean")
    require_average(draws, 1.0, "the mean", above=True)
    with pytest.raises(Exception, match="the mean should be 0.1, the average of 10000 draws is"):
        require_average(draws, 0.1, "the mean", "hint")
    with pytest.raises(Exception, match="should be at most -0.1"):
        require_average(draws, -0.1, "the mean", above=True)
    with pytest.raises(Exception, match="nan"):
        require_average(draws * float("nan"), 0.0, "the mean")


class Largest(WeightObjective):
    """The largest log weight, with the rounding of another processor: inside vmap a tie goes to the first, else to the last."""

    provides = frozenset({"log_weights", "multi_sample"})
    lower_bound = False
    samples = 3

    def of_log_weights(self, log_w):
        rounding = torch.linspace(0, 1e-11, len(log_w), dtype=log_w.dtype).unsqueeze(1)
        vectorised = torch._C._functorch.is_batchedtensor(log_w)
        return (log_w + (rounding.flip(0) if vectorised else rounding)).amax(0)


@pytest.mark.parametrize("posterior", ["gaussian", "exact"])
def test_gradients_are_not_compared_where_rounding_breaks_a_tie(posterior):
    """With the true posterior all log weights are equal, and either gradient is right."""
    kept = {"estimator": "stl", "posterior": posterior}
    entries = [e for e in CATALOGUE.entries() if e.kind != "objective" and kept.get(e.kind, e.name) == e.name]
    catalogue = Catalogue([*entries, Entry("objective", "largest", Largest, "p", "d", "1")])
    for target in ("objective/largest", "estimator/stl"):
        assert check(target, catalogue=catalogue, only=["vectorised_equals_looped"]).ok


# --- what each check says of itself -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_check_states_its_contract_and_where_to_read(kind):
    names = [c.name for c in checks_of(kind)]
    assert len(names) == len(set(names))
    for declared in checks_of(kind):
        assert len(declared.due) > 15
        assert declared.due.endswith(".")
        assert documentation(declared.read), declared.read


def documentation(path):
    """The docstring of what a dotted path names."""
    module, *rest = path.split(".")
    found = importlib.import_module(module)
    for name in rest:
        found = getattr(found, name, None) or importlib.import_module(f"{found.__name__}.{name}")
    return found.__doc__


def test_parts_have_many_checks():
    assert all(len(checks_of(kind)) >= 20 for kind in BUILT)


def test_explanation_is_four_lines():
    result = CheckResult("prior/x", "c", Outcome.FAILED, "It is so.", "lvmbench.prior.Prior", "it is not")
    assert result.explanation.splitlines() == [
        "prior/x:c",
        "  due:  It is so.",
        "  came: it is not",
        "  read: lvmbench.prior.Prior",
    ]


# --- pytest -------------------------------------------------------------------------------------------------


def run_pytest(folder, text):
    path = Path(folder, "test_it.py")
    path.write_text(textwrap.dedent(text))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-v",
        "-rsxf",
        "-c",
        "/dev/null",
        str(path),
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder).stdout


def test_each_check_becomes_a_named_test(plugin):
    shown = run_pytest(
        plugin.parent,
        f"""
        from lvmbench.checks import parametrize_with_checks

        @parametrize_with_checks(
            [{str(plugin)!r}],
            expected_failures={{
                "objective/broken:formula_is_stated": "there is none",
                "prior/scaled:formula_is_stated": "wrongly expected",
            }},
        )
        def test_conformance(check):
            check()
        """,
    )
    assert "test_conformance[prior/scaled:density_integrates_to_one] PASSED" in shown
    assert re.search(r"\[prior/scaled:components_share_each_value\] SKIPPED", shown)
    assert re.search(r"\[objective/broken:formula_is_stated\] XFAIL", shown)
    assert re.search(r"\[prior/scaled:formula_is_stated\] FAILED", shown)
    assert "it passed, but was expected to fail: wrongly expected" in shown
    assert "boom" in shown
    assert "due:  The bound is one finite figure per datum, (B,)." in shown


def test_expected_failures_of_no_check_are_errors():
    with pytest.raises(UserError, match="expected failures of no check: prior/mixture:nothing"):
        parametrize_with_checks(
            ["prior/mixture"], catalogue=CATALOGUE, expected_failures={"prior/mixture:nothing": "why"}
        )


# --- the command line ---------------------------------------------------------------------------------------


def test_command_says_how_many_checks_passed(cli):
    shown = cli("check", "standard_normal", "--only", "formula_is_stated", "--only", "example_runs")
    assert (shown.code, shown.out) == (0, "prior standard_normal: 2 checks: 2 passed\n")


def test_command_shows_each_failure_and_exits_with_one(cli, plugin):
    shown = cli("check", plugin)
    assert shown.code == 1
    assert "failed   objective/broken:formula_is_stated\n" in shown.out
    assert "  due    The docstring states the formula.\n" in shown.out
    assert "  came   there is no '.. math::' in it" in shown.out
    assert "  read   lvmbench.component.Component" in shown.out
    assert re.search(r"^prior scaled: \d+ checks: \d+ passed, \d+ skipped$", shown.out, re.MULTILINE)
    assert re.search(r"^objective broken: \d+ checks: \d+ failed", shown.out, re.MULTILINE)


def test_command_lists_everything_where_asked(cli):
    shown = cli("check", "prior/standard_normal", "--only", "components_share_each_value", "--verbose")
    assert re.search(r"^skipped +prior/standard_normal:components_share_each_value +the trait", shown.out)


def test_command_takes_a_plugin_beside_the_name(cli, plugin):
    shown = cli("check", "scaled", "--plugin", plugin, "--only", "formula_is_stated")
    assert (shown.code, shown.out) == (0, "prior scaled: 1 checks: 1 passed\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "unknown component 'nothing'"),
        (["nothing.py"], "no file 'nothing.py'"),
        (["mixture", "--kind", "priorr"], "unknown kind 'priorr'; did you mean 'prior'"),
        (["mixture", "--only", "shape"], "unknown check 'shape'"),
    ],
)
def test_command_refuses_what_it_cannot_check(cli, words, message):
    shown = cli("check", *words)
    assert shown.code == 2
    assert message in shown.err
    assert shown.err.count("\n") == 1
