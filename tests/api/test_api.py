"""lvmbench from Python: suites, results, one model in a few lines,
components given as classes and instances.
"""

import json
import shutil
from html.parser import HTMLParser
from typing import ClassVar

import pandas as pd
import pytest
import torch

import lvmbench
from lvmbench import (
    DiagonalNormal,
    Evaluator,
    LatentSpace,
    LvmbenchError,
    Measurement,
    Metric,
    Prior,
    Refusal,
    UserError,
)
from lvmbench.combinations.given import admit
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from tests.conftest import SUITE, hurry

TINY = {
    "data": "blobs[train=60,validation=20,test=20]",
    "prior": "standard_normal",
    "posterior": "gaussian[hidden=8,layers=1]",
    "decoder": "linear_gaussian",
    "objective": "elbo",
    "latent": 2,
    "epochs": 3,
    "batch": 20,
    "learning_rate": 1e-2,
    "patience": 0,
}


class OwnPrior(Prior):
    """A normal prior of learned scale."""

    distribution = DiagonalNormal

    def __init__(self, data, latent, *, start: float = 0.0):
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.full((latent,), start))

    @property
    def space(self):
        return LatentSpace(tuple(self.log_scale.shape))

    def forward(self, model):
        return DiagonalNormal(torch.zeros_like(self.log_scale), self.log_scale)


class Mean(Evaluator):
    """The mean of what it measures."""

    metrics: ClassVar = {"data_mean": Metric("Mean of the data", "units", "neither", "mean of the data")}

    def __init__(self, *, scale: float = 1.0):
        self.scale = scale

    def evaluate(self, subject):
        yield Measurement("data_mean", self.scale * subject.x.mean().item())


class Picky(Mean):
    """An evaluator that asks for too much."""

    requires = frozenset({"dataset.labels", "dataset.nothing"})


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What running a suite gives that is a mapping."""
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        return lvmbench.run(SUITE, tmp_path_factory.mktemp("ran") / "out", jobs=0, progress=False)


@pytest.fixture
def results(ran, tiny):
    """The same results in a folder of the test's own."""
    shutil.copytree(ran.directory, tiny.folder / "out")
    return lvmbench.load(tiny.folder / "out")


class Tags(HTMLParser):
    """That tags are closed in their order, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text = [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


# --- suites -------------------------------------------------------------------------------------------------


def test_suite_from_a_mapping_gives_every_table(ran):
    assert list(ran.records["status"]) == ["ok"] * 4
    assert set(ran.evaluations["status"]) == {"ok"}
    assert {"elbo", "gap"} <= set(ran.measurements["metric"])
    assert list(ran.curves.columns) == ["key", "epoch", "train_bound", "validation_bound"]
    assert len(ran.curves) == 4 * 3


def test_leaderboard_is_by_the_suites_metric_or_another(results):
    by_elbo, by_gap = results.board(), results.board("gap")
    assert (by_elbo.metric, by_gap.metric) == ("elbo", "gap[exact]")
    assert results.leaderboard("gap").equals(by_gap.frame)
    with pytest.raises(UserError, match="elbow"):
        results.leaderboard("elbow")


def test_same_run_again_does_nothing(results, tiny):
    before = results.records
    again = lvmbench.run(str(tiny.folder / "out" / "suite.yaml"), tiny.folder / "out", jobs=0, progress=False)
    pd.testing.assert_frame_equal(again.records, before)


def test_suite_by_name_path_and_mapping_are_alike(tiny, results):
    path = tiny.write()
    for number, suite in enumerate((path, str(path))):
        other = lvmbench.run(suite, tiny.folder / str(number), jobs=0, progress=False)
        assert list(other.records["key"]) == list(results.records["key"])
    with pytest.raises(UserError, match="unknown suite 'quik'; did you mean 'quick'"):
        lvmbench.run("quik")


@pytest.mark.parametrize(("seeds", "found"), [(1, [0]), (3, [0, 1, 2]), ([5, 7], [5, 7])])
def test_seeds_may_be_a_number_or_a_list(tiny, seeds, found):
    out = tiny.folder / "out"
    results = lvmbench.run(tiny.write(), out, seeds=seeds, only=["standard_normal"], jobs=0, progress=False)
    assert list(results.records["seed"]) == found
    assert set(results.records["prior"]) == {"standard_normal"}


WRONG = {
    "unknown key": ({"prios": ["mixture"]}, "suite: unknown key 'prios'; did you mean 'priors' or"),
    "unknown name": ({"priors": ["mixtur"]}, "suite: unknown prior 'mixtur'; did you mean 'mixture'?"),
    "wrong value": ({"latent": 0}, "suite: latent: should be greater than or equal to 1 (got 0)"),
    "wrong option": (
        {"priors": ["mixture[components=0]"]},
        "suite: prior 'mixture': option 'components' should be",
    ),
    "a class": (
        {"priors": [OwnPrior]},
        "cannot be written to a file; name components, and give your own as plugins=",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_mapping_is_checked_as_a_file_is(tiny, what):
    changes, message = WRONG[what]
    suite = {**json.loads(tiny.write().read_text()), **changes}
    with pytest.raises(UserError) as error:
        lvmbench.run(suite, tiny.folder / "out", jobs=0, progress=False)
    assert message in str(error.value)
    assert "lvmbench-suite-" not in str(error.value)


PLUGIN = """
import lvmbench
from lvmbench import DiagonalNormal, LatentSpace, Prior
from torch import nn, zeros


class Own(Prior):
    distribution = DiagonalNormal

    def __init__(self, data, latent):
        super().__init__()
        self.loc = nn.Parameter(zeros(latent))

    @property
    def space(self):
        return LatentSpace(tuple(self.loc.shape))

    def forward(self, model):
        return DiagonalNormal(self.loc, zeros(1))


@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("api_own", Own)
"""


def test_local_plugin_by_file(tiny):
    path, out = tiny.plugin("api_own", PLUGIN), tiny.folder / "out"
    suite = tiny.write(priors=["api_own"])
    results = lvmbench.run(suite, out, seeds=1, plugins=[path], jobs=0, progress=False)
    assert list(results.records["status"]) == ["ok"]
    assert results.model(results.records.iloc[0]).prior.loc.abs().sum() > 0
    fitted = lvmbench.fit(**{**TINY, "prior": "api_own"}, plugins=[path])
    assert type(fitted.model.prior).__name__ == "Own"


def test_failures_are_in_the_records(tiny):
    results = lvmbench.run(
        tiny.write(posteriors=["gaussian"], priors=["bernoulli"]), tiny.folder / "out", jobs=0, progress=False
    )
    assert set(results.records["status"]) == {"refused"}
    with pytest.raises(UserError, match="has no weights: it is refused"):
        results.model(results.records.iloc[0])


def test_progress_is_shown_where_it_is_wanted(tiny, capsys):
    lvmbench.run(tiny.write(), tiny.folder / "a", seeds=1, jobs=0, progress=False)
    assert capsys.readouterr() == ("", "")
    lvmbench.run(tiny.write(), tiny.folder / "b", seeds=1, jobs=0)
    assert "[2/2" in capsys.readouterr().out


def test_default_directory_is_that_of_the_command_line(tiny, monkeypatch):
    monkeypatch.chdir(tiny.folder)
    results = lvmbench.run(tiny.write(), seeds=1, only=["standard_normal"], jobs=0, progress=False)
    assert str(results.directory) == "lvmbench-results/tiny"
    assert len(lvmbench.load("lvmbench-results/tiny").records) == 1


# --- results ------------------------------------------------------------------------------------------------


def test_stored_model_gives_the_stored_measurements(results):
    stored = results.measurements
    for _, row in results.records.iterrows():
        found = lvmbench.evaluate(results.fitted(row), "tightness[samples=20,repeats=5]")
        merged = found.merge(
            stored[stored["key"] == row["key"]], on=["metric", "variant", "method"], validate="1:1"
        )
        assert len(merged) == len(found) > 3
        pd.testing.assert_series_equal(merged["value_x"], merged["value_y"], check_names=False, rtol=1e-6)


def test_model_by_key_row_or_beginning_of_a_key(results):
    row = results.records.iloc[1]
    first, *others = [results.model(run) for run in (row, row["key"], row["key"][:10], dict(row))]
    assert isinstance(first, lvmbench.LatentVariableModel)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("key", ["nothing", ""])
def test_unknown_run_is_a_user_error(results, key):
    with pytest.raises(UserError, match="runs in .* have the key"):
        results.model(key)


def test_lost_weights_are_a_user_error(results):
    row = results.records.iloc[0]
    (results.directory / "weights" / f"{row['key'][:20]}.safetensors").unlink()
    with pytest.raises(UserError, match="are missing; lvmbench run or retry trains them anew"):
        results.model(row)


def test_no_results_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="holds no results"):
        lvmbench.load(tmp_path)


def test_results_are_a_table_in_a_notebook(tiny):
    priors, posteriors = (
        ["standard_normal", "mixture[components=2]"],
        ["gaussian[hidden=8,layers=1]", "bernoulli"],
    )
    suite = tiny.write(
        suite="a.b",
        priors=priors,
        posteriors=posteriors,
        exclude=[{"prior": "standard_normal", "posterior": "bernoulli"}],
    )
    results = lvmbench.run(suite, tiny.folder / "out", seeds=1, jobs=0, progress=False)
    html = results._repr_html_()
    text = " ".join(Tags(html).text)
    assert "2 ok" in text
    assert "1 refused" in text
    assert "requires prior.binary" in text
    assert html.partition("</table>")[0].count("<tr>") == 3


# --- one model ----------------------------------------------------------------------------------------------


def test_one_model_is_trained_and_measured_in_a_few_lines():
    model = lvmbench.fit(**TINY)
    found = lvmbench.evaluate(model, "tightness[samples=20]", "clustering")
    assert list(model.curve["epoch"]) == [1, 2, 3]
    assert {"tightness[samples=20]", "clustering"} == set(found["evaluator"])
    assert {"elbo", "nmi"} <= set(found["metric"])
    assert not model.model.training


def test_fit_is_what_a_suite_trains(results):
    """The same weights as in a pack of two seeds, to floating-point tolerance."""
    for seed in (0, 1):
        fitted = lvmbench.fit(**TINY, seed=seed)
        (row,) = results.records.query(f"prior == 'standard_normal' and seed == {seed}").to_dict("records")
        ours, theirs = fitted.model.state_dict(), results.model(row).state_dict()
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5)


def test_class_goes_by_its_name_in_snake_case():
    fitted = lvmbench.fit(**{**TINY, "prior": OwnPrior})
    assert str(fitted.combination["prior"]) == "own_prior"
    assert fitted.model.prior.log_scale.abs().sum() > 0
    assert ("prior", "own_prior") not in load_catalogue()


def test_class_with_options():
    fitted = lvmbench.fit(
        **{**TINY, "prior": {OwnPrior: {"start": -1.0}}, "decoder": {"gaussian": {"hidden": 8}}}
    )
    assert str(fitted.combination["prior"]) == "own_prior[start=-1.0]"
    assert str(fitted.combination["decoder"]) == "gaussian[hidden=8]"
    with pytest.raises(UserError, match="prior 'own_prior' has no option 'begin'"):
        lvmbench.fit(**{**TINY, "prior": {OwnPrior: {"begin": 1}}})


def test_instance_is_the_one_that_is_trained():
    own = OwnPrior(None, 2, start=0.5)
    fitted = lvmbench.fit(**{**TINY, "prior": own})
    assert fitted.model.prior is own
    assert (own.log_scale != 0.5).all()


def test_registered_class_keeps_its_name():
    cls = load_catalogue().entry("objective", "iwae").load()
    assert (
        str(lvmbench.fit(**{**TINY, "objective": {cls: {"samples": 3}}}).combination["objective"])
        == "iwae[samples=3]"
    )


def test_data_in_memory():
    data = load_catalogue().build("dataset", "blobs[train=60,validation=20,test=20]").load()
    fitted = lvmbench.fit(**{**TINY, "data": data})
    assert fitted.data is data
    assert str(fitted.combination["dataset"]) == "loaded"


def test_evaluators_may_be_classes_and_instances():
    fitted = lvmbench.fit(**TINY)
    found = lvmbench.evaluate(fitted, Mean, Mean(scale=2.0), {Mean: {"scale": 3.0}}, split="validation")
    assert list(found["evaluator"]) == ["mean", "mean", "mean[scale=3.0]"]
    assert found["value"].to_numpy() == pytest.approx(
        found["value"][0] * torch.tensor([1.0, 2.0, 3.0]).numpy()
    )
    assert set(found["split"]) == {"validation"}


def test_global_state_is_left_alone():
    class Meddling(Mean):
        """An evaluator that changes what all share."""

        def evaluate(self, subject):
            torch.set_default_dtype(torch.float64)
            torch.manual_seed(0)
            return super().evaluate(subject)

    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    lvmbench.evaluate(lvmbench.fit(**TINY), Meddling)
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.random.get_rng_state(), before)


def test_evaluator_that_does_not_apply_is_refused():
    with pytest.raises(Refusal, match="evaluator 'picky' requires dataset.nothing, which dataset 'blobs"):
        lvmbench.evaluate(lvmbench.fit(**TINY), Picky)


MISTAKES = {
    "unknown name": ({"prior": "mixtur"}, UserError, "unknown prior 'mixtur'; did you mean 'mixture'?"),
    "not of the kind": (
        {"prior": Mean},
        UserError,
        "is no Prior; give a name, a class or an instance of a prior",
    ),
    "nothing of the kind": ({"prior": 3}, UserError, "prior: 3 is no Prior"),
    "several": ({"prior": {"mixture": {}, "standard_normal": {}}}, UserError, "give one component as"),
    "unknown argument": ({"epoch": 3}, UserError, "there is no argument 'epoch'; did you mean 'epochs'?"),
    "bad budget": ({"epochs": 0}, UserError, "epochs: should be greater than or equal to 1, got 0"),
    "bad schedule": (
        {"schedule": "cosin"},
        UserError,
        "schedule: should be a schedule, not 'cosin'; did you",
    ),
    "bad plateau": (
        {"schedule": "plateau", "patience": 3},
        UserError,
        "patience: should be more than the 10 epochs that schedule plateau waits",
    ),
    "bad latent": ({"latent": 0}, UserError, "latent should be a whole number of at least 1, got 0"),
    "bad split": ({"split": "tset"}, UserError, "there is no argument 'split'"),
    "refused": ({"decoder": "bernoulli"}, Refusal, "decoder 'bernoulli' requires dataset.binary"),
    "diverged": ({"learning_rate": 1e30, "objective": "elbo"}, LvmbenchError, "training diverged in epoch"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_are_named(what):
    changes, kind, message = MISTAKES[what]
    with pytest.raises(kind) as error:
        lvmbench.fit(**{**TINY, **changes})
    assert message in str(error.value)


def test_class_named_as_another_component_must_be_renamed():
    namesake = type("Mixture", (OwnPrior,), {})
    with pytest.raises(
        UserError, match="prior 'mixture' is registered by lvmbench .* already; rename the class Mixture"
    ):
        admit(load_catalogue(), "prior", namesake)


def test_references_are_taken_as_they_are():
    _, ref = admit(load_catalogue(), "prior", Ref("mixture", {"components": 10}))
    assert str(ref) == "mixture"


def test_unknown_split_names_the_nearest():
    with pytest.raises(UserError, match="there is no split 'tset'; did you mean 'test'?"):
        lvmbench.evaluate(lvmbench.fit(**TINY), Mean, split="tset")


def test_fit_reports_epochs_and_is_a_table_in_a_notebook():
    heard = []
    fitted = lvmbench.fit(**TINY, on_epoch=lambda epoch: heard.append(epoch.epoch))
    assert heard == [1, 2, 3]
    text = Tags(fitted._repr_html_()).text
    assert text[text.index("prior") + 1] == "standard_normal"
    assert text[text.index("validation bound") + 1].endswith(" nats")


def test_fit_says_why_it_stopped():
    fitted = lvmbench.fit(**{**TINY, "seconds": 1e-9})
    assert (fitted.facts["stopped"], fitted.facts["trained_epochs"]) == ("seconds", 1)


def test_generate_draws_data_or_gives_means():
    fitted = lvmbench.fit(
        **{**TINY, "data": "digits", "decoder": "bernoulli[hidden=8,layers=1]", "epochs": 1}
    )
    drawn, means = fitted.generate(50), fitted.generate(50, mean=True)
    assert drawn.shape == means.shape == (50, *fitted.data.summary.event_shape)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert ((means > 0) & (means < 1)).all()
    assert torch.equal(means, fitted.generate(50, mean=True))
    assert not torch.equal(means, fitted.generate(50, mean=True, seed=1))
    # the same z: what is drawn is drawn around the mean, so (x - mean) / sd has mean 0, variance 1 and 64 *
    # 50 terms
    z = ((drawn - means) / (means * (1 - means)).sqrt()).mean()
    assert abs(z) < 6 / (64 * 50) ** 0.5


def test_a_decoder_without_a_mean_says_so(monkeypatch):
    fitted = lvmbench.fit(**TINY)
    monkeypatch.setattr(DiagonalNormal, "traits", frozenset())
    with pytest.raises(UserError, match="the decoder's DiagonalNormal has no mean"):
        fitted.generate(3, mean=True)


# --- a model as a file
# ------------------------------------------------------------------------------------------


def assert_same_model(one, other):
    """The same figures to the last bit, and the same draws."""
    figures = [
        lvmbench.evaluate(f, "tightness[samples=20,repeats=5]", "cost[samples=10]") for f in (one, other)
    ]
    a, b = (f[~f["metric"].str.contains("second")].reset_index(drop=True) for f in figures)
    pd.testing.assert_frame_equal(a, b, check_exact=True)
    assert torch.equal(one.generate(5), other.generate(5))
    assert (one.combination, one.seed) == (other.combination, other.seed)


SAVED = {
    "by name": {"prior": "mixture[components=3]", "objective": "iwae[samples=3]", "seed": 4},
    "estimator with weights": {"estimator": "score[baseline=network]", "objective": "elbo"},
    "schedule": {"schedule": "cosine"},
    "made of another": {"posterior": "denoising[base=gaussian[hidden=8],scale=0.5]"},
}


@pytest.mark.parametrize("changes", SAVED.values(), ids=SAVED)
def test_a_saved_model_is_the_same_model(tmp_path, changes):
    fitted = lvmbench.fit(**{**TINY, **changes})
    lvmbench.save(fitted, tmp_path / "folder" / "model.safetensors")
    found = lvmbench.load(tmp_path / "folder" / "model.safetensors")
    assert_same_model(fitted, found)
    pd.testing.assert_frame_equal(found.curve, fitted.curve, check_exact=True)
    assert found.facts == fitted.facts
    assert [f.name for f in (tmp_path / "folder").iterdir()] == ["model.safetensors"]


def test_a_model_of_a_suite_can_be_saved(results, tmp_path):
    fitted = results.fitted(results.records.iloc[1])
    lvmbench.save(fitted, tmp_path / "model.safetensors")
    assert_same_model(fitted, lvmbench.load(tmp_path / "model.safetensors"))


def test_a_model_of_own_parts_and_data_is_loaded_with_them(tmp_path):
    data = lvmbench.fit(**TINY).data
    own = {"data": data, "prior": OwnPrior}
    fitted = lvmbench.fit(**{**TINY, **own, "prior": {OwnPrior: {"start": 0.5}}})
    path = tmp_path / "model.safetensors"
    lvmbench.save(fitted, path)
    assert_same_model(fitted, lvmbench.load(path, **own))
    with pytest.raises(
        UserError, match="unknown dataset 'loaded'.*what was given to fit is given to load too"
    ):
        lvmbench.load(path, prior=OwnPrior)
    with pytest.raises(UserError, match="unknown prior 'own_prior'"):
        lvmbench.load(path, data=data)
    with pytest.raises(UserError, match="there is no argument 'priro'; did you mean 'prior'"):
        lvmbench.load(path, priro=OwnPrior)


def test_a_model_is_not_loaded_onto_other_data_or_versions(tmp_path, monkeypatch):
    fitted = lvmbench.fit(**TINY)
    path = tmp_path / "model.safetensors"
    lvmbench.save(fitted, path)
    other = lvmbench.fit(**{**TINY, "data": "blobs[train=60,validation=20,test=20,seed=1]"}).data
    with pytest.raises(UserError, match="dataset 'loaded' holds other data than the model was fitted to"):
        lvmbench.load(path, data=other)
    monkeypatch.setattr(type(fitted.model.prior), "version", 99)
    with pytest.raises(UserError, match="made with version 1 of prior 'standard_normal', this is version 99"):
        lvmbench.load(path)


def test_what_is_no_saved_model_is_a_user_error(tmp_path, results):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"this is no file of weights")
    with pytest.raises(UserError, match="is no safetensors file"):
        lvmbench.load(path)
    with pytest.raises(UserError, match="does not say what its tensors are"):
        lvmbench.load(next((results.directory / "weights").glob("*.safetensors")))
    with pytest.raises(UserError, match="cannot be written"):
        lvmbench.save(lvmbench.fit(**TINY), "/proc/no/model.safetensors")
