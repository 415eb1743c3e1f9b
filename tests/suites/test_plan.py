"""Plans: which runs a suite asks for, under which keys, and why some cannot be."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

import lvmbench.combinations.requirements
import lvmbench.suites.plan
from lvmbench import Refusal
from lvmbench.combinations.combination import PROTOCOL, run_keys
from lvmbench.combinations.given import admit
from lvmbench.combinations.prototypes import Prototypes
from lvmbench.errors import UserError
from lvmbench.kinds import PARTS
from lvmbench.registry.catalogue import Catalogue, Entry
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.suites.effort import Effort, Rates
from lvmbench.suites.plan import make_plan
from lvmbench.suites.suite import load_suite
from lvmbench_plugins.evaluators import _aggregate

REFERENCE = load_catalogue()
DATA = "blobs[train=60,validation=20,test=20]"
BASE = {"priors": ["standard_normal"], "seeds": [0]}


@pytest.fixture
def plan(tiny):
    """Plan the tiny suite with one prior and one seed, other keys, and perhaps classes of other names."""

    def plan(only=(), extra=(), catalogue=REFERENCE, **changes):
        mine = [Entry(kind, name, target, "mine", "lvmbench-mine", "1.0") for kind, name, target in extra]
        catalogue = Catalogue([*catalogue.entries(), *mine])
        return make_plan(load_suite(str(tiny.write(**{**BASE, **changes})), catalogue), catalogue, only)

    return plan


def subclass(kind, name, **members):
    return type(name, (REFERENCE.entry(kind, name).load(),), members)


def combinations(plan, *kinds):
    return [tuple(str(p.combination[kind]) for kind in kinds) for p in plan.planned]


def raising(error):
    def raises(*args, **options):
        raise error

    return raises


# Which combinations


def test_a_grid_expands_to_its_product_in_order(plan):
    found = plan(priors=["standard_normal", "mixture"], objectives=[{"elbo": {"samples": [1, 2]}}, "iwae"])
    assert combinations(found, "prior", "objective") == [
        (p, o) for p in ("standard_normal", "mixture") for o in ("elbo", "elbo[samples=2]", "iwae")
    ]


def test_an_option_at_its_default_is_the_bare_name_and_duplicates_collapse(plan):
    found = plan(
        priors=["mixture[components=10]", "mixture", {"mixture": {"spread": 1.0, "components": [10, 2]}}]
    )
    assert combinations(found, "prior") == [("mixture",), ("mixture[components=2]",)]
    assert plan(evaluators=["tightness", "tightness[data=10000]"]).evaluators == (Ref("tightness"),)


@pytest.mark.parametrize(
    ("on", "measured"),
    [
        ({"prior": "mixture"}, ["mixture", "mixture[components=3]"]),
        ({"prior": "mixture[components=3]"}, ["mixture[components=3]"]),
        (
            {"prior": ["standard_normal", "mixture[components=3]"]},
            ["standard_normal", "mixture[components=3]"],
        ),
        ({"prior": "mixture", "objective": ["iwae"]}, []),
        ({"latent": [2, 8]}, ["standard_normal", "mixture", "mixture[components=3]"]),
        ({"latent": 9}, []),
    ],
)
def test_an_evaluator_may_be_for_some_combinations_only(plan, on, measured):
    costly = {"gap_split": {"data": 4, "on": on}}
    priors = ["standard_normal", "mixture", "mixture[components=3]"]
    found = plan(priors=priors, evaluators=["tightness", costly])
    assert [str(e) for e in found.evaluators] == ["tightness", "gap_split[data=4]"]
    asked = {str(p.combination["prior"]): [e.name for e in p.evaluators] for p in found.planned}
    assert asked == {p: ["tightness", *["gap_split"] * (p in measured)] for p in priors}
    assert all(set(p.efforts) == {str(e) for e in p.evaluators} for p in found.planned)


def test_an_evaluator_that_is_asked_for_twice_is_for_what_either_means(plan):
    costly = [{"clustering": {"on": {"prior": prior}}} for prior in ("standard_normal", "mixture")]
    found = plan(priors=["standard_normal", "mixture"], evaluators=costly, metric="nmi")
    assert [p.evaluators for p in found.planned] == [(Ref("clustering"),)] * 2


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ({"prior": "mixture"}, ["standard_normal"]),
        ({"prior": "mixture[components=2]"}, ["standard_normal", "mixture"]),
        ({"prior": "mixture[components=10]"}, ["standard_normal", "mixture[components=2]"]),
        ({"prior": "mixture", "objective": "iwae"}, ["standard_normal", "mixture[components=2]", "mixture"]),
        ({"posterior": "gaussian", "prior": "standard_normal"}, ["mixture[components=2]", "mixture"]),
    ],
)
def test_exclude_removes_what_fits_by_name_and_by_the_options_it_names(plan, rule, left):
    found = plan(priors=["standard_normal", "mixture[components=2]", "mixture"], exclude=[rule])
    assert combinations(found, "prior") == [(name,) for name in left]


SETTINGS = {"latent": [2, 3], "budget": {"epochs": 3, "learning_rate": [0.01, 0.001]}}


def settings(plan, *names):
    return [tuple(p.combination.settings[name] for name in names) for p in plan.planned]


def test_settings_that_are_lists_make_a_grid(plan):
    found = plan(priors=["standard_normal", "mixture"], **SETTINGS)
    one = [(2, 0.01), (2, 0.001), (3, 0.01), (3, 0.001)]
    assert settings(found, "latent", "learning_rate") == [*one, *one]
    assert len({key for p in found.planned for key in p.keys.values()}) == 8
    assert str(found.planned[1].combination).endswith("· latent=2 · learning_rate=0.001")


def test_rules_may_name_settings(plan):
    found = plan(
        exclude=[{"latent": 3, "learning_rate": 0.001}, {"prior": "mixture", "latent": 2}], **SETTINGS
    )
    assert settings(found, "latent", "learning_rate") == [(2, 0.01), (2, 0.001), (3, 0.01)]


@pytest.mark.parametrize(
    ("only", "left"), [(["latent=2"], 2), (["latent=3", "learning_rate=0.0*"], 2), (["epochs=3"], 4)]
)
def test_only_may_name_settings(plan, only, left):
    assert len(plan(only, **SETTINGS).planned) == left


def test_a_prior_that_sets_its_latents_is_one_combination(plan):
    found = plan(priors=["standard_normal", "hierarchy[layers=3 2]"], latent=[2, 3])
    assert settings(found, "latent") == [(2,), (3,), (5,)]
    assert {p.status for p in found.planned} == {None}


def test_combinations_by_hand_may_have_settings_of_their_own(plan):
    parts = {"posterior": "gaussian", "decoder": "linear_gaussian", "objective": "elbo"}
    row = {"dataset": DATA, "prior": "mixture", **parts, "latent": [4, 5], "learning_rate": 0.1}
    found = plan(combinations=[row, {**row, "latent": 4}], latent=2, budget={"epochs": 3, "batch": [20, 30]})
    assert settings(found, "latent", "learning_rate", "batch", "epochs") == [
        (2, 0.001, 20, 3),
        (2, 0.001, 30, 3),
        (4, 0.1, 20, 3),
        (4, 0.1, 30, 3),
        (5, 0.1, 20, 3),
        (5, 0.1, 30, 3),
    ]


def test_combinations_by_hand_come_last_and_no_rule_excludes_them(plan):
    row = {
        "dataset": DATA,
        "prior": "mixture",
        "posterior": "gaussian",
        "decoder": "linear_gaussian",
        "objective": "elbo",
    }
    found = plan(
        priors=["standard_normal", "mixture"],
        exclude=[{"prior": "mixture"}],
        combinations=[row, {**row, "objective": "iwae"}],
    )
    assert combinations(found, "prior", "objective") == [
        ("standard_normal", "elbo"),
        ("mixture", "elbo"),
        ("mixture", "iwae"),
    ]


def test_the_objective_says_which_estimator_is_used_where_the_suite_does_not(plan):
    mine = subclass("objective", "elbo", default_estimators=("score[baseline=leave_one_out]",))
    found = plan(objectives=["elbo", "mine[samples=2]"], extra=[("objective", "mine", mine)])
    assert combinations(found, "estimator") == [("blend",), ("score[baseline=leave_one_out]",)]
    assert combinations(plan(estimators=["score"]), "estimator") == [("score",)]


def test_the_default_estimator_is_the_first_that_suits_the_other_parts(plan):
    """Path gradients for flows too, whose density is known at their draws only.

    Scores where nothing is pathwise.
    """
    for prior, posterior, objective, estimator in [
        ("standard_normal", "gaussian", "elbo", "blend"),
        ("standard_normal", "planar", "elbo", "blend"),
        ("standard_normal", "iaf", "iwae", "dreg"),
        ("standard_normal", "gaussian", "vr_max", "pathwise"),
        ("bernoulli", "bernoulli", "elbo", "score"),
        ("bernoulli", "bernoulli", "iwae", "vimco"),
        ("bernoulli", "relaxed", "elbo", "pathwise"),
        ("standard_normal", "dlgmm", "elbo", "stratified"),
        ("standard_normal", "dlgmm", "elbo[free_bits=0.1]", "score"),
        ("standard_normal", "dlgmm", "iwae", "vimco"),
    ]:
        found = plan(priors=[prior], posteriors=[posterior], objectives=[objective])
        assert combinations(found, "estimator") == [(estimator,)], (prior, posterior, objective)


def test_a_default_estimator_that_is_not_there_is_the_users_to_know(plan):
    mine = subclass("objective", "elbo", default_estimators=("nothing",))
    with pytest.raises(UserError, match="a default of objective 'mine'.*nothing"):
        plan(objectives=["mine"], extra=[("objective", "mine", mine)])


GRID = {
    "priors": ["standard_normal", "mixture[components=2]", "mixture[components=3]"],
    "objectives": ["elbo", "iwae"],
}


@pytest.mark.parametrize(
    ("only", "priors", "objectives"),
    [
        (["mixture"], 2, 2),
        (["mixture[components=3]"], 1, 2),
        (["mixture[*"], 2, 2),
        (["mix*", "iwae"], 2, 1),
        (["mixture[components=?]", "elbo"], 2, 1),
        (["blobs"], 3, 2),
        (["*"], 3, 2),
        (["gaussian", "*linear_gaussian"], 3, 2),
    ],
)
def test_only_keeps_what_matches_each_pattern(plan, only, priors, objectives):
    found = plan(only, **GRID)
    assert len(found.planned) == priors * objectives
    assert len(set(combinations(found, "prior"))) == priors


@pytest.mark.parametrize(
    "only", [["nothing"], ["mixture", "standard_normal"], ["MIXTURE"], [""], ["mixture[[]*"], ["elb"]]
)
def test_only_that_keeps_nothing_is_said(plan, only):
    with pytest.raises(
        UserError, match=r"^--only: no combination of '.*tiny.yaml' matches .*; lvmbench plan shows them"
    ):
        plan(only, **GRID)


def test_exclude_that_leaves_nothing_is_said(plan):
    with pytest.raises(
        UserError, match=r"tiny.yaml: the grid is empty: exclude leaves no combination; remove a rule"
    ):
        plan(exclude=[{"objective": "elbo"}])


# What is wrong with options, data and metric


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "['mixture[components=0]']",
            "2:10: prior 'mixture': option 'components' should be greater than or equal to 1, got 0",
        ),
        (
            "[mixture: {spread: 1.0, components: 0}]",
            "2:33: prior 'mixture': option 'components' should be greater than",
        ),
        (
            "\n- mixture:\n    spread: 1.0\n    components: two",
            "5:5: prior 'mixture': option 'components' should be a valid integer",
        ),
        (
            "\n- mixture:\n    spread: 1.0\n    component: 2",
            "5:5: prior 'mixture' has no option 'component'; did you mean 'components'?",
        ),
        (
            "[mixture: {components: }]",
            "2:20: prior 'mixture': option 'components' should be a valid integer, got None",
        ),
        (
            "['mixture[components=[2, 0]]']",
            "2:10: prior 'mixture': option 'components' should be greater than or equal to 1",
        ),
    ],
)
def test_a_wrong_option_is_said_with_its_place(tiny, written, message):
    rest = {k: v for k, v in json.loads(tiny.write().read_text()).items() if k != "priors"}
    path = tiny.folder / "tiny.yaml"
    path.write_text(
        f"suite: tiny\npriors: {written}\n"
        + "".join(f"{k}: {json.dumps(v)}\n" for k, v in rest.items() if k != "suite")
    )
    with pytest.raises(UserError) as error:
        make_plan(load_suite(str(path), REFERENCE), REFERENCE)
    assert str(error.value).startswith(f"{path}:{message}")


def test_a_wrong_option_of_an_evaluator_or_a_rule_is_said_too(plan):
    with pytest.raises(UserError, match="evaluator 'tightness': option 'samples' should be"):
        plan(evaluators=["tightness[samples=0]"])
    with pytest.raises(UserError, match="prior 'mixture' has no option 'size'"):
        plan(exclude=[{"prior": "mixture[size=3]"}])


@pytest.mark.parametrize("metric", ["rate", "rate[exact]", "train_seconds", "parameters"])
def test_a_suite_may_rank_by_what_its_evaluators_or_its_records_hold(plan, metric):
    assert plan(metric=metric, evaluators=["informativeness"]).suite.metric == metric


def test_a_metric_that_nothing_measures_is_said_before_anything_is_trained(plan):
    with pytest.raises(
        UserError, match=r"tiny.yaml:1:\d+: metric: no evaluator of the suite measures 'elbows'; did you mean"
    ):
        plan(metric="elbows")
    with pytest.raises(UserError, match="measures 'nmi'"):
        plan(metric="nmi")


def test_data_that_cannot_be_used_are_said_with_the_place_of_the_data_set(plan):
    with pytest.raises(UserError, match=r"tiny.yaml:1:\d+: table 'nowhere.csv': no such file"):
        plan(datasets=["table[path=nowhere.csv]"])


# Refusals


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"decoders": ["bernoulli"]},
            r"decoder 'bernoulli' requires dataset.binary, which dataset .* does not provide \(.*real\)",
        ),
        (
            {"decoders": ["gaussian"], "posteriors": ["exact"]},
            r"posterior 'exact' requires model.exact_posterior, which this pair .* does not provide",
        ),
    ],
)
def test_a_refusal_names_the_component_and_what_it_lacks(plan, changes, reason):
    (planned,) = plan(**changes).planned
    assert planned.status == "refused"
    assert re.match(reason, planned.reason)
    assert planned.keys.keys() == {0}


def test_an_evaluator_that_lacks_something_is_refused_alone(plan):
    (planned,) = plan(datasets=["linear_gaussian[train=60]"], evaluators=["tightness", "clustering"]).planned
    assert planned.status is None
    assert list(planned.refused_evaluators) == ["clustering"]
    assert "evaluator 'clustering' requires dataset.labels" in planned.refused_evaluators["clustering"]


@pytest.mark.parametrize("kind", ["dataset", "prior", "posterior", "decoder", "objective", "estimator"])
def test_a_component_may_refuse_when_it_is_built(plan, kind):
    base = {
        "dataset": "blobs",
        "prior": "standard_normal",
        "posterior": "gaussian",
        "decoder": "linear_gaussian",
    }
    base |= {"objective": "elbo", "estimator": "pathwise"}
    mine = subclass(kind, base[kind], __init__=raising(Refusal("not with me")))
    (planned,) = plan(extra=[(kind, "mine", mine)], **{f"{kind}s": ["mine"]}).planned
    assert (planned.status, planned.reason) == ("refused", "not with me")


@pytest.mark.parametrize("kind", ["dataset", "prior", "decoder", "objective"])
@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), SystemExit(3)])
def test_a_component_that_fails_otherwise_is_left_to_fail_when_it_is_run(plan, kind, error):
    base = {"dataset": "blobs", "prior": "standard_normal", "decoder": "linear_gaussian", "objective": "elbo"}
    method = "load" if kind == "dataset" else "__init__"
    mine = subclass(kind, base[kind], **{method: raising(error)})
    (planned,) = plan(extra=[(kind, "mine", mine)], **{f"{kind}s": ["mine"]}).planned
    assert (planned.status, planned.reason, planned.parameters) == (None, "", None)
    assert planned.provenance[kind]["plugin"] == "mine"


@pytest.mark.parametrize(
    ("error", "reasons"), [(Refusal("not here"), {"mine": "not here"}), (ZeroDivisionError("mine"), {})]
)
def test_an_evaluator_that_fails_when_it_is_built_leaves_the_run(plan, error, reasons):
    mine = subclass("evaluator", "clustering", __init__=raising(error))
    (planned,) = plan(extra=[("evaluator", "mine", mine)], evaluators=["mine"]).planned
    assert (planned.status, planned.refused_evaluators) == (None, reasons)


def test_a_component_that_cannot_be_imported_is_unavailable_and_the_others_are_planned(plan, tiny):
    text = "import lvmbench\n\n@lvmbench.hookimpl\ndef lvmbench_register(register):\n"
    file = tiny.plugin("plan_lazy", text + "    register.prior('lazy', 'no_such_module_here:Lazy')\n")
    catalogue = load_catalogue(PluginSelection((file,)))
    found = plan(
        catalogue=catalogue, priors=["lazy[size=3]", "standard_normal"], exclude=[{"prior": "lazy[size=4]"}]
    )
    lazy, other = found.planned
    assert (lazy.status, other.status) == ("unavailable", None)
    assert lazy.reason.startswith(f"prior 'lazy' of {file} ")
    assert lazy.reason.endswith("cannot be used: ModuleNotFoundError: No module named 'no_such_module_here'")
    assert plan(
        catalogue=catalogue, priors=["lazy", "standard_normal"], exclude=[{"prior": "lazy"}]
    ).planned == (other,)


# Of many combinations


def test_a_grid_is_planned_as_each_of_its_combinations_is_alone(plan):
    """Components are built once and shared, which must not show."""
    grid = {
        "priors": ["standard_normal", "mixture[components=2]", "bernoulli"],
        "posteriors": ["gaussian", "exact", "bernoulli"],
        "decoders": ["linear_gaussian", "gaussian", "bernoulli"],
        "objectives": ["elbo", "iwae[samples=2]"],
        "evaluators": ["tightness", "gradient_variance"],
    }
    found = plan(**grid).planned
    assert {p.status for p in found} == {None, "refused"}
    assert len(found) == 54
    for planned in found[::5]:
        kinds = ("prior", "posterior", "decoder", "objective")
        alone = {f"{kind}s": [str(planned.combination[kind])] for kind in kinds}
        assert plan(**{**grid, **alone}).planned == (planned,)


def test_a_component_is_built_once_for_each_choice_of_options(plan):
    made = []

    def init(self, data, latent, *, components: int = 1):
        made.append((latent, components))
        base.__init__(self, data, latent)

    base = REFERENCE.entry("prior", "standard_normal").load()
    mine = subclass("prior", "standard_normal", __init__=init)
    found = plan(
        extra=[("prior", "mine", mine)],
        priors=["mine", "mine[components=2]"],
        objectives=["elbo", "iwae"],
        latent=[2, 3],
    )
    assert len(found.planned) == 8
    assert sorted(made) == [(2, 1), (2, 2), (3, 1), (3, 2)]


def test_nothing_of_parts_and_models_is_found_again_for_each_combination(plan, monkeypatch):
    found = Counter()

    def count(owner, name):
        real = getattr(owner, name)

        def counted(*args, **options):
            found[name] += 1
            return real(*args, **options)

        monkeypatch.setattr(owner, name, counted)

    for name in ("options", "canonical", "bases", "version", "origin", "build"):
        count(Catalogue, name)
    for name in ("first_suitable", "suiting_estimators", "default_estimators"):
        count(lvmbench.suites.plan, name)
    count(lvmbench.combinations.requirements, "build_model")
    takes = []
    for rates in ([0.1, 0.2], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]):
        found.clear()
        budget = {"epochs": 3, "patience": 0, "learning_rate": rates}
        assert len(plan(priors=["standard_normal", "mixture"], budget=budget).planned) == 2 * len(rates)
        takes.append(dict(found))
    assert takes[0] == takes[1]
    assert {"origin", "build", "build_model", "first_suitable", "suiting_estimators"} <= set(takes[0])


def test_what_is_shared_has_no_weights_and_a_component_of_the_users_own_keeps_its():
    data = REFERENCE.build("dataset", DATA).load()
    mine = REFERENCE.build("prior", "mixture", data.summary, 2)
    catalogue, ref = admit(REFERENCE, "prior", mine)
    shared = Prototypes(catalogue).build("prior", ref, data.summary, 2)
    assert {p.device.type for p in shared.parameters()} == {"meta"}
    assert {p.device.type for p in mine.parameters()} == {"cpu"}


# Keys


@pytest.fixture
def key(plan):
    """The key of the first run of a plan."""
    return lambda seed=0, **changes: plan(**changes).planned[0].keys[seed]


def test_a_key_is_the_same_in_every_process(key, tiny):
    script = (
        "import sys; from lvmbench.suites.plan import make_plan; from lvmbench.registry.loader import "
        "load_catalogue as load\n"
        "from lvmbench.suites.suite import load_suite; print(make_plan(load_suite(sys.argv[1], load()), "
        "load()).planned[0].keys[0])"
    )
    mine = key(priors=[{"mixture": {"components": 2, "spread": 2.0}}])
    found = subprocess.run(
        [sys.executable, "-c", script, str(tiny.folder / "tiny.yaml")],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == mine


def test_a_plan_counts_densities_beside_draws(plan, tiny, monkeypatch):
    """The information is found from every z under every posterior,
    which an autoregressive flow has to invert.
    """
    what = {"evaluators": ["informativeness[samples=7]"], "datasets": ["blobs[train=60,test=11]"]}
    (planned,) = plan(**what).planned
    assert planned.efforts == {"informativeness[samples=7]": (7 * 11, 7 * 11 * 11, 0, 4 * 60)}
    counted = []

    def count(q, size, z, each=_aggregate._each):
        counted.append(each(q, size, z).numel())
        return each(q, size, z)

    monkeypatch.setattr(_aggregate, "_each", count)
    tiny.run(**BASE, **what)
    assert sum(counted) == 7 * 11 * 11


def test_what_measuring_takes_is_data_draws_and_densities():
    rates = Rates(datum=100.0, draw=10.0, density=1.0, gradient=1000.0)
    assert rates.seconds(Effort(3, 5), data=2) == 235.0
    assert rates.seconds(Effort(3, 5, gradients=2), data=2) == 2235.0
    assert rates.seconds(Effort(0, 0, fits=1_000_000), data=0) == pytest.approx(30.0)


SAME = {
    "more seeds": {"seeds": [3, 0, 1]},
    "more combinations": {"priors": ["standard_normal", "mixture"]},
    "another name and version of the suite": {"suite": "other", "version": 2},
    "other evaluators": {"evaluators": ["clustering"], "metric": "nmi"},
    "defaults in full": {
        "posteriors": ["gaussian[hidden=8,layers=1,network=mlp]"],
        "estimators": ["blend"],
    },
    "a schedule at its defaults": {
        "budget": {
            "epochs": 3,
            "batch": 20,
            "learning_rate": 1e-2,
            "patience": 0,
            "schedule": "constant",
            "weight_decay": None,
        }
    },
    "options in another order": {"posteriors": ["gaussian[layers=1,hidden=8]"]},
    "an integer for a float": {
        "budget": {"patience": 0, "epochs": 3, "batch": 20, "learning_rate": 0.01, "warm_up": 0}
    },
}
OTHER = {
    "another option": {"posteriors": ["gaussian[hidden=9,layers=1]"]},
    "another component": {"priors": ["mixture"]},
    "another estimator": {"estimators": ["score"]},
    "other data": {"datasets": ["blobs[train=60,validation=20,test=20,seed=1]"]},
    "another latent size": {"latent": 3},
    **{
        f"another {name}": {
            "budget": {"epochs": 3, "batch": 20, "learning_rate": 1e-2, "patience": 0, name: value}
        }
        for name, value in {
            "epochs": 4,
            "batch": 21,
            "optimizer": "sgd",
            "learning_rate": 0.02,
            "patience": 1,
            "warm_up": 1.0,
            "clip": 1.0,
            "schedule": "cosine",
            "weight_decay": 0.1,
            "seconds": 60.0,
        }.items()
    },
}


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_a_key_does_not_depend_on_what_does_not_matter(key, changes):
    assert key(**changes) == key()


@pytest.mark.parametrize("changes", OTHER.values(), ids=OTHER)
def test_a_key_depends_on_all_that_matters(key, changes):
    assert key(**changes) != key()


def test_a_key_is_the_hash_of_canonical_json(plan):
    combination = plan().planned[0].combination
    spec = {"parts": {"prior": ["mine", {"b": 1.0, "a": None}, 1]}, "data": "abc"}
    whole = {**spec, "seed": 7, "latent": combination.latent, "protocol": PROTOCOL}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    assert run_keys(combination, [3, 7], spec)[7] == hashlib.sha256(text.encode()).hexdigest()


def test_a_key_depends_on_the_seed_and_on_versions(key, monkeypatch):
    first = key()
    assert key(seed=1, seeds=[0, 1]) != first
    prior = REFERENCE.entry("prior", "standard_normal").load()
    monkeypatch.setattr(prior, "version", 2)
    assert key() != first
    monkeypatch.undo()
    assert key() == first
    monkeypatch.setattr("lvmbench.combinations.combination.PROTOCOL", 99)
    assert key() != first


def test_a_key_depends_on_the_version_of_what_a_component_is_made_of(key, monkeypatch):
    changes = {"posteriors": ["denoising[base=gaussian[hidden=8]]"]}
    first, inner = key(**changes), REFERENCE.entry("posterior", "gaussian").load()
    assert key(posteriors=["denoising[base=gaussian[hidden=9]]"]) != first
    assert key(posteriors=["denoising[base=gaussian[layers=2,hidden=8]]"]) == first
    monkeypatch.setattr(inner, "version", inner.version + 1)
    assert key(**changes) != first


def test_a_key_depends_on_the_values_of_the_data_not_on_their_file_name_alone(key, tiny):
    table = tiny.folder / "table.csv"
    rows = "".join(f"{i},{i * i % 7}\n" for i in range(40))
    changes = {"datasets": [f"table[path={table}]"]}
    table.write_text("a,b\n" + rows)
    first = key(**changes)
    assert key(**changes) == first
    table.write_text("a,b\n" + rows.replace("39,", "38.5,"))
    assert key(**changes) != first


# Restricting


def test_a_plan_is_restricted_to_runs_by_their_names(plan):
    found = plan(seeds=[0, 1], **GRID)
    name = found.planned[2].name(1)
    assert name == (
        *(t for (t,) in (combinations(found, k)[2:3][0] for k in PARTS)),
        *found.planned[2].combination.settings.values(),
        1,
    )
    (left,) = found.restricted({name}).planned
    assert left == replace(found.planned[2], keys={1: found.planned[2].keys[1]})
    assert found.restricted(found.names) == found


@pytest.mark.parametrize("entry", load_catalogue().entries("suite"), ids=lambda entry: entry.name)
def test_every_registered_suite_can_be_planned(entry):
    catalogue = load_catalogue()
    assert make_plan(load_suite(str(entry.path), catalogue), catalogue).planned
