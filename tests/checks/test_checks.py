"""The conformance kit itself: targets, expected failures, what must run, order, pytest, the command line."""

import importlib
import random
import re
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest
import torch
from pydantic import Field, TypeAdapter, ValidationError

from lvmbench import (
    DiagonalNormal,
    Estimate,
    LatentSpace,
    MarkovPrior,
    Prior,
    Stream,
    UserError,
    WeightObjective,
)
from lvmbench.checks import check, parametrize_with_checks
from lvmbench.checks.claims import GROUPS, fit
from lvmbench.checks.contract import BUILT, Skip, Violation, checks_of
from lvmbench.checks.draws import AT_ONCE, draw, log_prob_at
from lvmbench.checks.options import narrowed
from lvmbench.checks.partners import Bench
from lvmbench.checks.report import CheckResult, Outcome, Report
from lvmbench.checks.runner import COMPLETE, examine
from lvmbench.checks.scope import SCOPE
from lvmbench.checks.statistics import require_average
from lvmbench.kinds import COMPONENTS
from lvmbench.options import options_model
from lvmbench.registry.catalogue import Catalogue, Entry
from lvmbench.registry.loader import load_catalogue
from tests.mutants.datasets import Normal
from tests.mutants.estimators import ScoreFunction

CATALOGUE = load_catalogue()
BENCH = Bench(CATALOGUE)
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


class Funnel(MarkovPrior):
    """Steps whose scale is given by the step before."""

    def law(self, h):
        # 0 at the first step, whose context is 0 but for the last value
        z = h[..., :-1]
        return DiagonalNormal(torch.zeros_like(z), 2 * z)


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


def test_entries_of_a_catalogue_share_what_is_known_of_its_combinations():
    entries = [CATALOGUE.entry(kind, "gaussian") for kind in ("posterior", "decoder")]
    found = [e for entry in entries for e in examine(entry, catalogue=CATALOGUE, bench=BENCH)]
    assert [examination.bench for examination in found] == [BENCH, BENCH]
    other = Entry("prior", "mine", Fixed, "p", "d", "1")
    (mine,) = examine(other, catalogue=CATALOGUE, bench=BENCH)
    assert mine.bench.catalogue.entry("prior", "mine") is other


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
    from lvmbench.registry.loader import PluginSelection

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
    first, *others, complete = check(entry, catalogue=CATALOGUE)
    assert first.status == "failed"
    assert "ModuleNotFoundError" in first.message
    assert {(r.status, r.reason) for r in others} == {("skipped", "it cannot be imported")}
    assert (complete.status, complete.reason) == ("skipped", "other checks failed: mend these first")


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


# --- what must run ------------------------------------------------------------------------------------------


def silenced(monkeypatch, *names):
    """Let checks skip whatever they are given, as one with a mistake in its condition would."""

    def skip(specimen):
        raise Skip("there is nothing to see here")

    for declared in checks_of("prior"):
        if declared.name in names:
            monkeypatch.setitem(vars(declared), "run", skip)


def failures(name):
    """The failures of all checks of a component, among partners that are built once."""
    (found,) = examine(name, catalogue=CATALOGUE, bench=BENCH)
    return Report(found.results()).failed


def test_a_component_without_partners_fails():
    class Choosy(Fixed):
        """A prior that no posterior provides for."""

        requires = frozenset({"posterior.nothing_of_this_name"})

    expected = dict.fromkeys(
        ("formula_is_stated", "references_have_year_and_link", "example_runs"), "it is short"
    )
    report = check(Choosy, catalogue=CATALOGUE, expected_failures=expected)
    complete = {r.check: r for r in report}[COMPLETE]
    assert complete.status == "failed"
    assert "no partners in the catalogue provide posterior.nothing_of_this_name" in complete.message
    assert report.counts["skipped"] > 20


def test_one_check_that_falls_silent_is_a_failure(monkeypatch):
    """Of some thirty; a least number of them leaves room for it."""
    silent = ("density_integrates_to_one", "mean_is_the_average_of_samples", "device_is_followed")
    silenced(monkeypatch, *silent)
    (failed,) = failures("standard_normal")
    assert failed.check == COMPLETE
    texts = [f"with standard_normal '{name}' applies and was skipped: there is nothing" for name in silent]
    assert all(text in failed.message for text in texts)
    assert failed.message.count("; ") == 2


def test_a_check_that_runs_unasked_is_a_failure(monkeypatch):
    monkeypatch.setitem(SCOPE, "samples_are_independent", lambda it: False)
    (failed,) = failures("standard_normal")
    assert failed.message == (
        "with standard_normal 'samples_are_independent' ran, though nothing that is declared asks for it"
    )


def test_chosen_checks_need_not_be_complete():
    assert COMPLETE not in status(check(Fixed, catalogue=CATALOGUE, only=FAST))


def test_conditions_are_of_checks():
    assert SCOPE.keys() <= {c.name for kind in COMPONENTS for c in checks_of(kind)}


# --- order --------------------------------------------------------------------------------------------------


class Careless(DiagonalNormal):
    def sample_and_log_prob(self, noise, samples):
        value = self.loc + self.log_scale.exp() * torch.randn(samples, *self.loc.shape)
        return value, self.log_prob(value)


class DrawsFromTorch(Fixed):
    distribution = Careless

    def forward(self, model):
        return Careless(torch.zeros(self.latent), torch.zeros(self.latent))


def test_the_cause_comes_before_what_follows_from_it():
    of_noise = [c.name for c in checks_of("prior") if "noise" in c.read or "noise" in c.name]
    report = check(
        DrawsFromTorch, catalogue=CATALOGUE, only=[*of_noise, "vectorised_equals_looped", "state_round_trips"]
    )
    first, *others = report.failed
    assert first.check == "global_generators_are_left_alone"
    assert {"same_noise_gives_the_same_result", "vectorised_equals_looped"} <= {r.check for r in others}
    assert report.causes(first) == []
    for result in others:
        assert first in report.causes(result), result.check


def test_what_explains_is_a_check_and_no_circle():
    """Every name is that of a check, and none is among its own causes when all fail."""
    for kind in COMPONENTS:
        every = checks_of(kind)
        names = {c.name for k in COMPONENTS for c in checks_of(k)}
        assert all(c.explains <= names for c in every)
        failed = Report(
            CheckResult("x/y", c.name, Outcome.FAILED, c.due, c.read, explains=c.explains) for c in every
        )
        place = {result.check: i for i, result in enumerate(failed.failed)}
        for result in failed:
            assert all(place[cause.check] < place[result.check] for cause in failed.causes(result))


def test_causes_are_those_of_the_same_component():
    one, other = (
        CheckResult(name, "a", Outcome.FAILED, "Due.", "r", explains=frozenset({"b"}))
        for name in ("p/x", "p/y")
    )
    effect = CheckResult("p/x", "b", Outcome.FAILED, "Due.", "r")
    report = Report([effect, other, one])
    assert report.failed == [one, effect, other]
    assert report.causes(effect) == [one]


# --- advice -------------------------------------------------------------------------------------------------


class Options:
    def __init__(
        self,
        *,
        low: Annotated[int, Field(ge=1, le=9)] = 5,
        scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0,
        share: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        mode: Literal["a", "b", "c"] = "a",
    ): ...


@pytest.mark.parametrize(
    ("option", "broken", "works", "written"),
    [
        ("low", 1, lambda v: v >= 3, "Annotated[int, Field(ge=3, le=9)]"),
        ("low", 9, lambda v: v < 9, "Annotated[int, Field(ge=1, le=8)]"),
        ("scale", 1e-3, lambda v: v >= 0.25, "Annotated[float, Field(ge=0.25, allow_inf_nan=False)]"),
        ("share", 0.999, lambda v: v <= 0.7, "Annotated[float, Field(ge=0, le=0.7)]"),
        ("mode", "b", lambda v: v != "b", "Literal['a', 'c']"),
        ("low", 1, lambda v: v == 5, "Annotated[int, Field(ge=5, le=9)]"),
    ],
)
def test_advice_is_an_annotation_that_has_what_works_alone(option, broken, works, written):
    found = narrowed(Options, option, broken, works)
    assert found == written
    adapter = TypeAdapter(eval(found))
    with pytest.raises(ValidationError):
        adapter.validate_python(broken)
    assert adapter.validate_python(options_model(Options).model_fields[option].default) is not None


def test_same_check_twice_gives_the_same_report_and_leaves_global_state():
    before = torch.random.get_rng_state()
    one, other = (check("score", catalogue=CATALOGUE, only=["bound_is_one_figure_per_datum"]) for _ in "ab")
    assert one == other
    assert torch.equal(torch.random.get_rng_state(), before)


def test_report_of_nothing_is_not_ok():
    assert not Report().ok


def test_a_funnel_is_weighed_outside_its_neck():
    (result,) = check(Funnel, catalogue=CATALOGUE, only=["own_densities_weigh_a_box"])
    assert result.status == Outcome.PASSED, result.explanation


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


@pytest.mark.parametrize(("falling", "steps"), [(0, 5), (1, 50), (17, 200)])
def test_training_ends_early_where_every_group_of_draws_has_risen(falling, steps):
    """Where one in 32 has not, the mean decides after fifty steps; where most have not, there is no rise."""
    weight, taken = torch.nn.Parameter(torch.zeros(())), []
    slopes = torch.tensor([300.0] * (GROUPS - falling) + [-300.0] * falling)

    def estimate(objective, model, x, noise):
        taken.append(weight.item())
        return Estimate(weight.expand(1), weight.detach().expand(1))

    parts = SimpleNamespace(estimator=estimate, objective=None, model=None)
    trial = SimpleNamespace(parts=parts, x=None, noise=lambda *words: None)
    with pytest.raises(Violation, match="does not point uphill") if falling > 16 else nullcontext():
        fit(trial, [weight], lambda: slopes * weight.detach())
    down = sum(later < earlier for earlier, later in pairwise([*taken, weight.item()]))
    assert len(taken) - down == steps


def test_draws_are_as_many_as_asked_and_densities_those_of_each():
    p, noise = DiagonalNormal(torch.zeros(2, 3), torch.zeros(2, 3)), Stream.seeded(0)
    values, log_probs = draw(p, noise, 2 * AT_ONCE + 1)
    assert values.shape == (2 * AT_ONCE + 1, 2, 3)
    assert len(values.unique(dim=0)) == len(values)
    assert torch.equal(log_probs, p.log_prob(values))
    assert torch.equal(log_prob_at(p, values), p.log_prob(values))


class Largest(WeightObjective):
    """The largest log weight, with the rounding of another processor:
    inside vmap a tie goes to the first, else to the last.
    """

    provides = frozenset({"log_weights"})
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


class Importing(Normal):
    """Its second load imports something that draws on its own account."""

    loads = 0

    def load(self):
        Importing.loads += 1
        random.seed(0) if Importing.loads == 2 else None
        return super().load()


def test_what_is_imported_at_the_first_reading_may_draw():
    (result,) = check(Importing, catalogue=CATALOGUE, only=["data_are_the_same_at_every_load"])
    assert (result.status, Importing.loads) == ("passed", 3)


class OneByOne(ScoreFunction):
    vectorizable = False


def test_gradients_of_steps_that_cannot_be_stacked_are_compared_one_by_one():
    kept = {"objective": ("elbo",), "estimator": ()}
    entries = [e for e in CATALOGUE.entries() if e.name in kept.get(e.kind, (e.name,))]
    name = "unbiased_gradient_averages_to_the_exact_one"
    (result,) = check(OneByOne, catalogue=Catalogue(entries), only=[name])
    assert result.status == "passed"


# --- what each check says of itself -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", COMPONENTS)
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


def run_pytest(folder, text, *names):
    """What pytest shows of a file's tests of these checks."""
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
        "-k",
        " or ".join(names),
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
        "formula_is_stated",
        "density_integrates_to_one",
        "components_share_each_value",
        "bound_is_one_figure_per_datum",
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
    names = ("formula_is_stated", "components_share_each_value", "bound_is_one_figure_per_datum")
    shown = cli("check", plugin, *(word for name in names for word in ("--only", name)))
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
