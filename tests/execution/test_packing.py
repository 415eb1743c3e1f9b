"""Which combinations train together, and that what each gives does not depend on it."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch

from lvmbench.execution import packing
from lvmbench.execution.executor import Limits
from lvmbench.execution.jobs import Job
from lvmbench.execution.local import HereExecutor
from lvmbench.execution.options import RunOptions
from lvmbench.registry.loader import load_catalogue
from lvmbench.suites.plan import make_plan
from lvmbench.suites.suite import load_suite

ONE = {"priors": ["standard_normal"]}
BETAS = {**ONE, "objectives": ["elbo", "elbo[beta=0.5]", "elbo[beta=4]"]}
TIMED = ["train_seconds", "started", "finished", "environment", "pack", "peak_memory_host", "weights_sha256"]


@pytest.fixture
def planned(tiny):
    """The combinations of the tiny suite with other keys."""
    catalogue = load_catalogue()
    return lambda **changes: make_plan(load_suite(str(tiny.write(**changes)), catalogue), catalogue).planned


def families(planned):
    """The places of the combinations that are kin."""
    kin = [p.kin for p in planned]
    return sorted([i for i, k in enumerate(kin) if k == one] for one in dict.fromkeys(kin))


@pytest.mark.parametrize(
    ("changes", "together"),
    [
        (BETAS, [[0, 1, 2]]),
        ({"priors": ["standard_normal", "mixture"]}, [[0], [1]]),
        ({**ONE, "objectives": ["elbo", "elbo[beta=2,samples=2]"]}, [[0], [1]]),
        ({**ONE, "objectives": ["elbo", "elbo[free_bits=0.1]", "elbo[free_bits=1.0]"]}, [[0], [1, 2]]),
        ({**ONE, "budget": {"learning_rate": [1e-2, 1e-3]}}, [[0, 1]]),
        ({**ONE, "budget": {"batch": [20, 30]}}, [[0], [1]]),
        ({**ONE, "latent": [2, 3]}, [[0], [1]]),
        ({"priors": ["mixture[components=2]", "mixture[components=2,spread=0.1]"]}, [[0, 1]]),
    ],
    ids=["beta", "prior", "samples", "0 is apart", "learning rate", "batch", "latent", "spread"],
)
def test_kin_differ_in_numbers_that_may_vary(planned, changes, together):
    assert families(planned(**changes)) == together


def sizes(due, workers):
    return [len(pack) for pack in packing.packed(due, workers)]


def test_there_is_a_pack_for_each_worker(planned):
    (one,) = planned(**ONE)
    found = [sizes([(one, 3)] * 5, workers) for workers in (1, 2, 3, 9, math.inf)]
    assert found == [[5], [2, 3], [1, 2, 2], [1] * 5, [1] * 5]


def test_a_pack_has_no_more_runs_than_gain(planned):
    (one,) = planned(**ONE)
    assert sizes([(one, 3)] * 40, 1) == [10] * 4
    assert sizes([(one, 100)] * 2, 1) == [1, 1]


def test_what_gains_nothing_is_trained_alone(planned):
    (one,) = planned(**ONE)
    large, whole = replace(one, parameters=packing.LARGE + 1), replace(one, kin="")
    for alone in (large, whole):
        assert sizes([(alone, 3)] * 2, 1) == [1, 1]
    assert sizes([(one, 0), (one, 3), (one, 3)], 1) == [1, 2]  # nothing of the first is to be trained


def test_one_learning_rate_stands_together(planned):
    both = {**ONE, "objectives": BETAS["objectives"], "budget": {"learning_rate": [1e-2, 1e-3]}}
    (pack,) = packing.packed([(p, 2) for p in planned(**both)], 1)
    rates = [p.combination.budget.learning_rate for p in pack]
    assert rates == sorted(rates)


def results(tiny, out):
    records, measurements = (tiny.frame(table, out) for table in ("records", "measurements"))
    return records.sort_values("key", ignore_index=True), measurements


def test_a_run_is_the_same_whoever_trains_beside_it(tiny):
    budget = {"epochs": 2, "batch": 20, "learning_rate": [1e-2, 3e-3], "patience": 0}
    settings = {**ONE, "objectives": ["elbo", "elbo[beta=4]"], "budget": budget}
    tiny.run("together", **settings)
    tiny.run("apart", options={"apart": True}, **settings)
    (one, figures), (other, expected) = (results(tiny, out) for out in ("together", "apart"))
    assert (set(one["pack"]), set(other["pack"])) == ({8}, {2})
    timed = [name for name in TIMED if name in one]
    pd.testing.assert_frame_equal(one.drop(columns=timed), other.drop(columns=timed))
    order = ["key", "metric", "variant", "method"]
    a, b = (frame.sort_values(order)["value"].to_numpy() for frame in (figures, expected))
    torch.testing.assert_close(torch.tensor(a), torch.tensor(b), rtol=1e-4, atol=1e-4)


WIDE = """
import torch
from torch import nn

from lvmbench import NonNegative, Objective, Varying, hookimpl


class Wide(Objective):
    \"\"\"Has more weights for a larger number, against what it declares.\"\"\"

    def __init__(self, *, width: Varying[NonNegative] = 1.0):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(int(width)))

    def forward(self, terms, kl_weight=1.0):
        return terms.log_w(kl_weight).mean(0) + 0 * self.weights.sum()


@hookimpl
def lvmbench_register(register):
    register.objective("wide", Wide)
"""


def test_runs_that_cannot_be_stacked_are_trained_one_by_one(tiny):
    plugin = tiny.plugin("wide_packs", WIDE)
    summary = tiny.run(plugins=[plugin], **ONE, objectives=["wide[width=1.0]", "wide[width=2.0]"])
    assert summary.counts == {"ok": 4}
    assert set(tiny.frame("records")["pack"]) == {1}


def test_a_limit_of_seconds_is_that_of_each_combination(tiny, monkeypatch):
    given, submit = [], HereExecutor.submit

    def noted(self, number, work, job, limits):
        given.append((len(job.runs) if isinstance(job, Job) else 0, limits.seconds))
        submit(self, number, work, job, limits)

    monkeypatch.setattr(HereExecutor, "submit", noted)
    monkeypatch.setattr(RunOptions, "limits", Limits(100.0))
    tiny.run(**BETAS, seeds=1)
    assert sorted(given) == [(0, 100.0)] * 3 + [(3, 300.0)]


def test_a_seed_that_is_left_of_a_pack_is_computed_as_in_it(tiny, monkeypatch):
    """With one seed there is no pack; of two, one of which lost its weights, the other is trained alone."""
    given, submit = [], HereExecutor.submit

    def noted(self, number, work, job, limits):
        given.extend([(len(job.runs), job.stacked)] if isinstance(job, Job) else [])
        submit(self, number, work, job, limits)

    monkeypatch.setattr(HereExecutor, "submit", noted)
    tiny.run("one", **ONE, seeds=1)
    tiny.run("two", **ONE, seeds=2)
    next((tiny.folder / "two" / "weights").glob("*.safetensors")).unlink()
    tiny.run("two", **ONE, seeds=2)
    assert given == [(1, False), (2, True), (1, True)]
