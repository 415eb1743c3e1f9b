"""Posteriors that are searched for are found once for each datum of a run, and are the same whoever asks."""

from dataclasses import replace
from typing import ClassVar

import pandas as pd
import pytest
import torch

import lvmbench
from lvmbench import DiagonalNormal, Searched
from lvmbench.execution import encodings, executors, worker
from lvmbench.execution.executor import Resources
from lvmbench.execution.jobs import Measuring
from lvmbench.execution.local import HereExecutor

DATA = "blobs[train=60,validation=20,test=40]"
EVALUATORS = ("tightness[samples=20,repeats=5]", "informativeness[samples=5,probe_data=30]", "clustering")


class Counted(Searched):
    """One natural step from the standard normal, which keeps what it was asked for."""

    distribution = DiagonalNormal
    provides = frozenset({"held_fixed", "reads_model"})
    requires = frozenset({"prior.real", "prior.density", "decoder.density"})
    asked: ClassVar[list[torch.Tensor]] = []

    def __init__(self, data, space):
        super().__init__()
        self.shape = space.event_shape

    def search(self, x, model):
        if not self.training:
            self.asked.append(x)
        z = x.new_zeros(len(x), *self.shape)
        slope = torch.func.grad(lambda z: model.log_joint(x, z.unsqueeze(0)).sum())(z).detach()
        return torch.stack([0.1 * slope, slope.tanh() - 1], 1)

    def of(self, parameters):
        return DiagonalNormal.of(parameters, len(self.shape))


@pytest.fixture(scope="module")
def fitted():
    return fit(Counted)


def fit(posterior):
    given = {"prior": "standard_normal", "posterior": posterior, "decoder": "linear_gaussian"}
    return lvmbench.fit(data=DATA, **given, objective="elbo", latent=2, epochs=2, batch=20)


@pytest.fixture
def asked(monkeypatch):
    """The data that were searched for, some at once."""
    monkeypatch.setattr(Counted, "asked", [])
    return Counted.asked


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch):
    monkeypatch.setattr(encodings, "AT_ONCE", 16)


def times(asked, data):
    """How often each of these data was searched for."""
    rows = torch.cat(asked)
    return [int((rows == datum).all(1).sum()) for datum in data]


def test_the_evaluators_of_a_run_find_each_posterior_once(fitted, asked):
    lvmbench.evaluate(fitted, *EVALUATORS)
    assert times(asked, fitted.subject().x) == [1] * 40
    # and those of the training data that probes are taught
    assert sum(map(len, asked)) == 40 + 30


@pytest.mark.parametrize("posterior", ["svi[steps=3]", "semi_amortized[steps=2]", "gaussian"])
def test_an_evaluator_gives_beside_others_what_it_gives_alone_to_the_bit(posterior):
    fitted = fit(posterior)
    alone = [lvmbench.evaluate(fitted, evaluator) for evaluator in EVALUATORS]
    for names, due in ((EVALUATORS, alone), (EVALUATORS[::-1], alone[::-1])):
        together = lvmbench.evaluate(fitted, *names)
        pd.testing.assert_frame_equal(together, pd.concat(due, ignore_index=True), check_exact=True)


def test_posteriors_do_not_depend_on_what_is_asked_together(fitted):
    subject, other = fitted.subject(), fitted.subject()
    whole = subject.q(subject.x)
    parts = [other.q(x) for x in subject.x.flip(0).split(7)]
    for name in ("loc", "log_scale"):
        turned = torch.cat([getattr(q, name) for q in parts]).flip(0)
        assert torch.equal(getattr(whole, name), turned)


def test_posteriors_are_those_of_the_model(fitted):
    subject = fitted.subject()
    x = torch.cat([subject.x[:3], subject.values("train")[:3], subject.x[30:]])
    for name in ("loc", "log_scale"):
        torch.testing.assert_close(getattr(subject.q(x), name), getattr(subject.model.q(x), name))


def test_few_more_are_searched_for_than_are_asked_for(fitted, asked):
    lvmbench.evaluate(fitted, "gap_split[data=10,steps=40,samples=10]")
    assert times(asked, fitted.subject().x).count(1) == 16


def test_what_is_kept_is_bounded_and_changes_no_figure(fitted, monkeypatch):
    whole, kept = lvmbench.evaluate(fitted, EVALUATORS[0]), {}
    # of two blocks of 16 data with 4 numbers each
    monkeypatch.setattr(encodings, "MOST", 2 * 16 * 4 * 4)
    subject = fitted.subject(kept=kept)
    subject.q(subject.x)
    assert sum(block.nbytes for block in kept.values()) == encodings.MOST
    pd.testing.assert_frame_equal(lvmbench.evaluate(fitted, EVALUATORS[0]), whole, rtol=1e-4)


def test_what_is_done_to_a_posterior_stays_with_who_did_it(fitted):
    subject = fitted.subject()
    before = subject.q(subject.x).loc.clone()
    subject.q(subject.x).loc.zero_()
    assert torch.equal(subject.q(subject.x).loc, before)


def test_a_model_that_is_put_in_place_is_asked_itself(fitted):
    """A subject is data: what was found by another model is not this one's."""
    subject, other = fitted.subject(), fit("gaussian").model
    replaced = replace(subject, model=other)
    assert torch.equal(replaced.q(subject.x).loc, other.q(subject.x).loc)


def test_an_evaluator_that_measures_later_finds_the_same(tiny):
    posterior = {"posteriors": ["svi[steps=3]"], "seeds": [0]}
    tiny.run("together", evaluators=EVALUATORS[::2], **posterior)
    tiny.run("later", evaluators=EVALUATORS[:1], **posterior)
    worker._kept.cache_clear()  # as in another process
    tiny.run("later", evaluators=EVALUATORS[::2], **posterior)
    pd.testing.assert_frame_equal(figures(tiny, "together"), figures(tiny, "later"), check_exact=True)


class Pair(HereExecutor):
    """Two workers, as far as one can tell, of which the one that began first ends first."""

    resources = Resources(2)

    def __init__(self):
        super().__init__()
        self.jobs, self.measured = {}, []

    @property
    def room(self):
        return 2 - len(self.jobs)

    def submit(self, number, work, job, limits=None):
        worker = next(each for each in range(2) if each not in self.jobs)
        self.jobs[worker] = (number, work, job)
        if isinstance(job, Measuring):
            self.measured.append((job.run.seed, worker))

    def completed(self, seconds):
        super().submit(*self.jobs.pop(next(iter(self.jobs))))
        return super().completed(seconds)


def test_a_worker_goes_on_with_the_run_that_it_has_measured(tiny, monkeypatch):
    pair = Pair()
    monkeypatch.setitem(executors.EXECUTORS, "local", lambda options: pair)
    evaluators = [f"tightness[samples={samples},repeats=2]" for samples in (2, 3, 4)]
    tiny.run(priors=["standard_normal"], seeds=[0, 1, 2], evaluators=evaluators)
    assert len(pair.measured) == 9
    assert {seed: {w for s, w in pair.measured if s == seed} for seed in (0, 1)} == {0: {0}, 1: {1}}


@pytest.mark.slow
def test_workers_find_the_same_as_one_process(tiny):
    posterior = {"posteriors": ["svi[steps=3]"], "seeds": [0]}
    tiny.run("one", evaluators=EVALUATORS[::2], **posterior)
    tiny.run("two", evaluators=EVALUATORS[::2], jobs=2, **posterior)
    pd.testing.assert_frame_equal(figures(tiny, "one"), figures(tiny, "two"), check_exact=True)


def figures(tiny, out):
    names = ["prior", "evaluator", "metric", "variant", "method"]
    return (
        tiny.frame("measurements", out).sort_values(names)[[*names, "value", "stderr"]].reset_index(drop=True)
    )
