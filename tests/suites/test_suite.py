"""Suite files: what they mean, and the place of everything that is wrong with them."""

import itertools

import pytest

from lvmbench.combinations.budget import Budget
from lvmbench.errors import UserError
from lvmbench.registry.loader import load_catalogue
from lvmbench.suites.plan import make_plan
from lvmbench.suites.suite import Setting, load_suite

CATALOGUE = load_catalogue()
KEYS = {  # a line each, in this order
    "suite": "tiny",
    "datasets": "[blobs]",
    "priors": "[standard_normal]",
    "posteriors": "[gaussian]",
    "decoders": "[linear_gaussian]",
    "objectives": "[elbo]",
    "evaluators": "[tightness]",
}


@pytest.fixture
def load(tmp_path):
    """Load the suite with other lines; ``None`` leaves one out."""

    def load(**changes):
        lines = [f"{k}: {v}\n" for k, v in {**KEYS, **changes}.items() if v is not None]
        path = tmp_path / "tiny.yaml"
        path.write_text("".join(lines))
        return load_suite(str(path), CATALOGUE)

    return load


def names(suite, kind):
    return [str(row.choices[kind].ref) for row in suite.grid]


def budget_of(suite):
    """The budget of a suite that has one."""
    ((_, budget),) = suite.grid[0].settings
    return budget


WRONG = [
    # the file's keys
    ({"prior": "[x]"}, "8:1: unknown key 'prior'; did you mean 'priors'"),
    ({"zzz": "1"}, "8:1: unknown key 'zzz'; known: board, budget, claims, "),
    ({"budget": "{epoch: 3}"}, "8:10: unknown key 'budget.epoch'; did you mean 'epochs'?"),
    ({"suite": None}, "1:1: key 'suite' is missing; add it"),
    ({"evaluators": None}, "1:1: key 'evaluators' is missing; add it"),
    ({"3": "4"}, "8:1: unknown key '3'; known: "),
    # types and ranges
    (
        {"suite": "a//b"},
        "1:8: suite: should be letters, digits, '_', '.' or '-', starting with a letter, or several such",
    ),
    ({"suite": "3"}, "1:8: suite: should be text (got 3)"),
    ({"version": "'1'"}, "8:10: version: should be a whole number (got '1')"),
    ({"latent": "-1"}, "8:9: latent: should be greater than or equal to 1 (got -1)"),
    ({"latent": ""}, "8:1: latent: should be a whole number (got nothing)"),
    ({"latent": "x" * 900}, f"8:9: latent: should be a whole number (got '{'x' * 58}…)"),
    ({"metric": "2020-01-01"}, "8:9: metric: should be text (got datetime.date(2020, 1, 1))"),
    ({"budget": "{epochs: 0}"}, "8:18: budget.epochs: should be greater than or equal to 1 (got 0)"),
    ({"budget": "{epochs: 1.5}"}, "8:18: budget.epochs: should be a whole number (got 1.5)"),
    ({"budget": "{epochs: 1, batch: true}"}, "8:28: budget.batch: should be a whole number (got True)"),
    ({"budget": "{learning_rate: -1}"}, "8:25: budget.learning_rate: should be greater than 0 (got -1)"),
    ({"budget": "{learning_rate: .inf}"}, "8:25: budget.learning_rate: should be a finite number (got inf)"),
    ({"budget": "{learning_rate: '1e-3'}"}, "8:25: budget.learning_rate: should be a number (got '1e-3')"),
    (
        {"budget": "{optimizer: adm}"},
        "8:21: budget.optimizer: should be an optimiser, not 'adm'; did you mean 'adam'",
    ),
    (
        {"budget": "{optimizer: 'adam[beta3=0.5]'}"},
        "8:21: budget.optimizer: optimiser 'adam' has no option 'beta3'; did you mean 'beta2' or 'beta1'?",
    ),
    (
        {"budget": "{optimizer: 'adam[beta1=1.0]'}"},
        "8:21: budget.optimizer: optimiser 'adam': option 'beta1' should be less than 1, got 1.0",
    ),
    ({"budget": "{patience: -1}"}, "8:20: budget.patience: should be greater than or equal to 0 (got -1)"),
    ({"budget": "{clip: 0}"}, "8:16: budget.clip: should be greater than 0 (got 0)"),
    ({"budget": "{schedule: 3}"}, "8:20: budget.schedule: should be text (got 3)"),
    (
        {"budget": "{schedule: cosin}"},
        "8:20: budget.schedule: should be a schedule, not 'cosin'; did you mean 'cosine'? (got 'cosin')",
    ),
    (
        {"budget": "{schedule: 'step[evry=3]'}"},
        "8:20: budget.schedule: schedule 'step' has no option 'evry'; did you mean 'every'?",
    ),
    (
        {"budget": "{schedule: 'step[every=0]'}"},
        "8:20: budget.schedule: schedule 'step': option 'every' should be greater than or equal to 1, got 0",
    ),
    ({"budget": "{schedule: 'step['}"}, "8:20: budget.schedule: 'step[' is not a name"),
    (
        {"budget": "{schedule: plateau, patience: 10}"},
        "8:39: budget.patience: should be more than the 10 epochs that schedule plateau waits",
    ),
    (
        {"budget": "{schedule: 'plateau[patience=20]'}"},
        "8:9: budget.patience: should be more than the 20 epochs",
    ),
    ({"budget": "{seconds: 0}"}, "8:19: budget.seconds: should be greater than 0 (got 0)"),
    (
        {"budget": "{weight_decay: -1}"},
        "8:24: budget.weight_decay: should be greater than or equal to 0 (got -1)",
    ),
    ({"budget": "[adam]"}, "8:9: budget: should be a mapping of keys (got ['adam'])"),
    ({"budget": "{<<: {epochs: 0}, batch: 2}"}, "8:9: budget.epochs: should be greater than or equal to 1"),
    # seeds
    ({"seeds": "'3'"}, "8:8: seeds: should be a whole number (got '3')"),
    ({"seeds": "0"}, "8:8: seeds: should be greater than or equal to 1 (got 0)"),
    ({"seeds": "1000000"}, "8:8: seeds: should be less than or equal to 10000 (got 1000000)"),
    ({"seeds": "[]"}, "8:8: seeds: is empty; give how many, or a list of them (got [])"),
    ({"seeds": "[0, 1, 0]"}, "8:8: seeds: gives seed 0 twice; remove one (got [0, 1, 0])"),
    ({"seeds": "[0, -1]"}, "8:12: seeds.1: should be greater than or equal to 0 (got -1)"),
    ({"seeds": "[0, a]"}, "8:12: seeds.1: should be a whole number (got 'a')"),
    ({"seeds": f"[{2**63}]"}, f"8:9: seeds.0: should be less than {2**63} (got {2**63})"),
    # lists of components
    ({"priors": "standard_normal"}, "3:9: priors: should be a list (got 'standard_normal')"),
    ({"priors": "[]"}, "3:9: priors: is empty; give at least one (got [])"),
    ({"evaluators": "[]"}, "7:13: evaluators: is empty; give at least one (got [])"),
    (
        {"priors": "[3]"},
        "3:10: priors.0: should be one component, as name, name[option=value] or name: {option: value}",
    ),
    ({"priors": "[{}]"}, "3:10: priors.0: should be one component"),
    ({"priors": "[mixture, [mixture]]"}, "3:19: priors.1: should be one component"),
    ({"priors": "[{mixture: 3}]"}, "3:10: priors.0: should be one component"),
    ({"priors": "[{mixture: {}, standard_normal: {}}]"}, "3:10: priors.0: should be one component"),
    ({"priors": None}, "1:1: the grid is empty: it lacks priors; give them, or list combinations by hand"),
    ({"priors": ""}, "1:1: the grid is empty: it lacks priors"),
    (
        dict.fromkeys(list(KEYS)[1:6]),
        "1:1: the grid is empty: it lacks datasets, priors, posteriors, decoders, objectives",
    ),
    # names
    ({"datasets": "\n  - bolbs"}, "3:5: unknown dataset 'bolbs'; did you mean 'blobs'?"),
    ({"priors": "[mixture, mixtur]"}, "3:19: unknown prior 'mixtur'; did you mean 'mixture'?"),
    (
        {"posteriors": "[gausian]"},
        "4:14: unknown posterior 'gausian'; did you mean 'gaussian' or 'full_gaussian'?",
    ),
    ({"decoders": "[bernouli]"}, "5:12: unknown decoder 'bernouli'; did you mean 'bernoulli'?"),
    ({"objectives": "[elbow: {samples: 2}]"}, "6:14: unknown objective 'elbow'; did you mean 'elbo'?"),
    ({"estimators": "[path]"}, "8:14: unknown estimator 'path'; did you mean 'pathwise'?"),
    (
        {"evaluators": "[{clustering: {on: gaussian}}]"},
        "7:32: on: should name components or settings (got 'gaussian')",
    ),
    (
        {"evaluators": "[{clustering: {on: {}}}]"},
        "7:32: evaluators: is for nothing; name a component or a setting",
    ),
    (
        {"evaluators": "[{clustering: {on: {posteriors: iaf}}}]"},
        "7:33: unknown key 'posteriors'; did you mean 'posterior' or 'prior'?",
    ),
    (
        {"evaluators": "[{clustering: {on: {posterior: ia}}}]"},
        "7:44: unknown posterior 'ia'; did you mean 'iaf'?",
    ),
    ({"evaluators": "[tight]"}, "7:14: unknown evaluator 'tight'; did you mean 'tightness'?"),
    ({"priors": "['mixture[components=2']"}, "3:10: 'mixture[components=2' is not a name"),
    (
        {"priors": """['mixture[components="2]']"""},
        "3:10: 'mixture[components=\"2]': brackets or double quotes do not",
    ),
    ({"priors": "['mixture[components]']"}, "3:10: 'mixture[components]': 'components' is not option=value"),
    ({"priors": '["mix\\nture"]'}, "3:10: 'mix\nture' is not a name"),
    # options given twice or not at all
    (
        {"priors": "['mixture[spread=1,spread=2]']"},
        "3:10: 'mixture[spread=1,spread=2]': option 'spread' is given twice",
    ),
    (
        {"priors": "['mixture[spread=1]': {spread: 2}]"},
        "3:10: 'mixture[spread=1]': option 'spread' is given twice",
    ),
    (
        {"priors": "\n  - mixture:\n      spread: 1\n      components: []"},
        "6:7: prior 'mixture': option 'components' is an empty list, so the grid is empty; give it values",
    ),
    ({"priors": "['mixture[components=[]]']"}, "3:10: prior 'mixture': option 'components' is an empty list"),
    # combinations and exclude
    ({"combinations": "[]"}, "8:15: combinations: is empty; give at least one (got [])"),
    ({"combinations": "[{priors: mixture}]"}, "8:17: unknown key 'priors'; did you mean 'prior'"),
    (
        {"combinations": "[{prior: mixture}]"},
        "8:16: combinations: lacks dataset, posterior, decoder, objective; name one",
    ),
    (
        {
            "combinations": (
                "\n- {dataset: blobs, prior: x, posterior: exact, decoder: bernoulli, objective: elbo}"
            )
        },
        "9:27: unknown prior 'x'; known: ",
    ),
    (
        {
            "combinations": (
                "\n- {dataset: blobs, prior: [mixture, x], posterior: exact, "
                "decoder: bernoulli, objective: elbo}"
            )
        },
        "9:37: unknown prior 'x'; known: ",
    ),
    (
        {
            "combinations": (
                "\n- {dataset: blobs, prior: [], posterior: exact, decoder: bernoulli, objective: elbo}"
            )
        },
        "9:27: combinations.0.prior: should be one component, as name, ",
    ),
    ({"exclude": "[{evaluator: tightness}]"}, "8:12: unknown key 'evaluator'; known: "),
    ({"exclude": "[{prior: mixtur}]"}, "8:19: unknown prior 'mixtur'; did you mean 'mixture'?"),
    ({"exclude": "[{}]"}, "8:11: exclude: excludes everything; name a component"),
    ({"exclude": ""}, "8:1: exclude: should be a list (got nothing)"),
    # lists of settings
    ({"latent": "[]"}, "8:9: latent: is empty; give a size, or several (got [])"),
    ({"latent": "[2, 0]"}, "8:13: latent.1: should be greater than or equal to 1 (got 0)"),
    ({"latent": "[2, x]"}, "8:13: latent.1: should be a whole number (got 'x')"),
    ({"budget": "{learning_rate: []}"}, "8:25: budget.learning_rate: is empty; give a value, or several"),
    (
        {"budget": "{learning_rate: [0.1, -1]}"},
        "8:31: budget.learning_rate.1: should be greater than 0 (got -1)",
    ),
    (
        {"budget": "{optimizer: [adam, adm]}"},
        "8:28: budget.optimizer.1: should be an optimiser, not 'adm'; did you mean 'adam'",
    ),
    (
        {"budget": "{schedule: [constant, plateau], patience: [30, 5]}"},
        "8:56: budget.patience.1: should be more than the 10 epochs that schedule plateau waits",
    ),
    ({"exclude": "[{latent: x}]"}, "8:20: exclude.0.latent: should be a whole number (got 'x')"),
    (
        {"exclude": "[{learning_rate: -1}]"},
        "8:27: exclude.0.learning_rate: should be greater than 0 (got -1)",
    ),
    ({"exclude": "[{prior: 3}]"}, "8:19: exclude.0.prior: should be one component, as name"),
    (
        {
            "combinations": "\n- {batch: 0, dataset: blobs, prior: mixture, posterior: exact, "
            "decoder: bernoulli, objective: elbo}"
        },
        "9:11: combinations.0.batch: should be greater than or equal to 1 (got 0)",
    ),
    (
        {
            "combinations": "\n- {dataset: blobs, prior: 3, posterior: exact, decoder: gaussian, "
            "objective: elbo}"
        },
        "9:27: combinations.0.prior: should be one component, as name",
    ),
    (
        {"claims": "[{claim: x, metric: elbo, higher: {latnt: 8}, lower: {latent: 2}}]"},
        "8:44: claims.0.higher.latnt: should be a kind of component, a setting or metric; did you mean",
    ),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_what_is_wrong_is_said_with_its_place(load, tmp_path, changes, message):
    with pytest.raises(UserError) as error:
        load(**changes)
    assert str(error.value).startswith(f"{tmp_path / 'tiny.yaml'}:{message}")


@pytest.mark.parametrize("text", ["- a\n- b\n", "hello\n", "", "# nothing\n", "3\n"])
def test_a_file_without_keys_is_no_suite(tmp_path, text):
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r":1:1: a suite is a mapping of keys \(suite, datasets"):
        load_suite(str(path), CATALOGUE)


def test_a_registered_suite_is_found_by_name_and_any_other_by_its_path(load, tmp_path, monkeypatch):
    assert load_suite("quick", CATALOGUE).name == "quick"
    suite = load(suite="mine")
    assert (suite.name, suite.path) == ("mine", tmp_path / "tiny.yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick").write_text("suite: [")  # a registered name comes first
    assert load_suite("quick", CATALOGUE).name == "quick"
    assert load_suite("tiny.yaml", CATALOGUE) == load_suite("./tiny.yaml", CATALOGUE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quik", r"unknown suite 'quik'; did you mean 'quick'\? \(or give the path of a YAML file\)"),
        ("none.yaml", "no suite file 'none.yaml'; registered suites: .*exact, .*quick"),
        ("none/quick", "no suite file 'none/quick'"),
        ("folder", "'folder' is a folder, not a suite; give the path of a YAML file"),
    ],
)
def test_a_suite_that_is_not_there_is_said_with_what_is(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=message):
        load_suite(name, CATALOGUE)


def test_what_is_left_out_has_a_default(load):
    suite = load()
    assert (suite.version, suite.seeds, suite.metric) == (1, (0, 1, 2), None)
    assert suite.grid[0].settings == (Setting(8, Budget()),)
    assert "estimator" not in suite.grid[0].choices


def test_an_optimizer_is_written_as_names_are(load):
    """Options at their defaults are left out, so that a run has one name."""
    written = "{optimizer: 'adam[epsilon=1e-4, beta2=0.999, beta1=0.99]'}"
    assert budget_of(load(budget=written)).optimizer == "adam[beta1=0.99,epsilon=0.0001]"


def test_a_schedule_is_written_as_names_are(load):
    assert (
        budget_of(load(budget="{schedule: 'plateau[factor=0.5, patience=5]'}")).schedule
        == "plateau[patience=5]"
    )
    assert budget_of(load(budget="{schedule: plateau, patience: 0}")).patience == 0


def test_seeds_are_how_many_or_which(load):
    assert load(seeds=2).seeds == (0, 1)
    assert load(seeds="[7, 3]").seeds == (7, 3)
    assert load(seeds=f"[{2**63 - 1}]").seeds == (2**63 - 1,)


def test_a_grid_is_the_product_of_its_axes_in_their_order(load):
    suite = load(
        priors="[standard_normal, mixture]", objectives="[elbo, iwae]", estimators="[score, pathwise]"
    )
    rows = [
        tuple(str(row.choices[kind].ref) for kind in ("prior", "objective", "estimator"))
        for row in suite.grid
    ]
    assert rows == [
        (p, o, e)
        for p in ("standard_normal", "mixture")
        for o in ("elbo", "iwae")
        for e in ("score", "pathwise")
    ]


@pytest.mark.parametrize(
    "written",
    [
        "[mixture: {components: [2, 3], spread: [1.0, 2.0]}]",
        "['mixture[components=[2,3],spread=[1.0,2.0]]']",
        "['mixture[components=[2,3]]': {spread: [1.0, 2.0]}]",
        "\n- mixture:\n    components: [2, 3]\n    spread:\n    - 1.0\n    - 2.0",
    ],
)
def test_an_option_given_a_list_is_a_grid(load, written):
    assert names(load(priors=written), "prior") == [
        f"mixture[components={c},spread={s}]" for c in (2, 3) for s in (1.0, 2.0)
    ]


@pytest.mark.parametrize(
    "written",
    ["[mixture]", "[mixture: ]", "[mixture: {}]", "['mixture[]']", "['  mixture ']", "\n  - mixture:\n"],
)
def test_a_bare_name_may_be_written_in_many_ways(load, written):
    assert names(load(priors=written), "prior") == ["mixture"]


def test_combinations_by_hand_stand_beside_the_grid_or_alone(load):
    row = (
        "{dataset: blobs, prior: mixture: {components: [2, 3]}, posterior: gaussian, decoder: bernoulli, "
        "objective: elbo}"
    )
    rows = "\n- " + row.replace("mixture: {components: [2, 3]}", "{mixture: {components: [2, 3]}}")
    beside = load(combinations=rows)
    alone = load(combinations=rows, **dict.fromkeys(list(KEYS)[1:6]))
    assert len(beside.grid) == 1
    assert alone.grid == ()
    for suite in (beside, alone):
        assert [str(r.choices["prior"].ref) for r in suite.picked] == [
            "mixture[components=2]",
            "mixture[components=3]",
        ]


def test_a_combination_by_hand_may_list_several_of_a_kind(load):
    row = "{dataset: blobs, prior: [standard_normal, mixture], posterior: gaussian, decoder: bernoulli, "
    suite = load(combinations="\n- " + row + "objective: [elbo, 'iwae[samples=2]']}")
    found = [(str(r.choices["prior"].ref), str(r.choices["objective"].ref)) for r in suite.picked]
    assert found == list(itertools.product(["standard_normal", "mixture"], ["elbo", "iwae[samples=2]"]))


def test_a_choice_knows_where_it_and_its_options_stand(load, tmp_path):
    suite = load(priors="\n  - standard_normal\n  - mixture:\n      components: 2\n      spread: 1.0")
    first, second = (row.choices["prior"] for row in suite.grid)
    here = tmp_path / "tiny.yaml"
    assert (first.place, first.option_places) == (f"{here}:4:5", {})
    assert second.place == f"{here}:5:5"
    assert second.option_places == {"components": f"{here}:6:7", "spread": f"{here}:7:7"}


def test_windows_line_endings_and_merge_keys_change_nothing(load, tmp_path):
    suite = load(budget="{epochs: 3, batch: 20}")
    text = (tmp_path / "tiny.yaml").read_text()
    (tmp_path / "tiny.yaml").write_bytes(text.replace("\n", "\r\n").encode())
    assert load_suite(str(tmp_path / "tiny.yaml"), CATALOGUE) == suite
    assert budget_of(load(budget="{<<: {epochs: 3}, batch: 20}")) == budget_of(suite)


@pytest.mark.parametrize(
    "metric", ["gap[exact]@tightness[repeats=5,samples=20]", "elbo@tightness[repeats=5,samples=20]"]
)
def test_a_metric_may_name_its_evaluator(tiny, metric):
    """With the method or without, as tables name what several evaluators measure."""
    make_plan(load_suite(str(tiny.write(metric=metric)), CATALOGUE), CATALOGUE)


def test_an_evaluator_that_the_suite_lacks_is_said_before_anything_is_trained(tiny):
    with pytest.raises(
        UserError, match=r"no evaluator 'tightness\[samples=20\]'; did you mean 'tightness\[repeats=5"
    ):
        make_plan(load_suite(str(tiny.write(metric="elbo@tightness[samples=20]")), CATALOGUE), CATALOGUE)


FIGURES = [
    {"metric": "nmmi", "higher": {"prior": "mixture"}, "lower": {"prior": "standard_normal"}},
    {"metric": "ari", "equals": "nmmi", "within": 1},
    {"metric": "ari", "higher": {"metric": "nmmi[kmeans]"}, "lower": {}},
    {"metric": "ari", "higher": {}, "lower": {"metric": "nmmi@clustering"}},
    {"metric": "ari", "of": {"metric": "nmmi"}, "equals": 1, "within": 1},
]


@pytest.mark.parametrize("claim", FIGURES)
def test_a_claim_about_a_metric_that_does_not_exist_is_said_before_anything_is_trained(tiny, claim):
    """Wherever it names it; with the nearest that there is, the place, and whose claim it is."""
    path = tiny.write(claims=[{"claim": "ours is better", **claim}], evaluators=["clustering"])
    message = (
        r"tiny.yaml:1:\d+: claim 'ours is better': no evaluator of the suite measures 'nmmi'; did "
        r"you mean 'nmi'"
    )
    with pytest.raises(UserError, match=message):
        make_plan(load_suite(str(path), CATALOGUE), CATALOGUE)


def test_a_board_shows_only_what_the_suites_evaluators_measure(tiny):
    make_plan(load_suite(str(tiny.write(board=["gap", "elbo", "train_seconds"])), CATALOGUE), CATALOGUE)
    with pytest.raises(UserError, match=r"tiny.yaml:1:\d+: board: no evaluator of the suite measures 'nmi'"):
        make_plan(load_suite(str(tiny.write(board=["elbo", "nmi[kmeans]"])), CATALOGUE), CATALOGUE)
