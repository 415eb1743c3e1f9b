"""Figures of sequences: per datum, and per step as a total over the number of steps."""

from __future__ import annotations

import pytest
import torch

from lvmbench import Subject
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import capabilities
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench_plugins.evaluators import _common
from lvmbench_plugins.evaluators.informativeness import Informativeness
from lvmbench_plugins.evaluators.tightness import Tightness

CATALOGUE = load_catalogue()
SEQUENCES = {
    "dataset": "linear_gaussian_sequences[steps=12,shortest=2,train=90,validation=9,test=70]",
    "prior": "linear_dynamics",
    "posterior": "exact",
    "decoder": "linear_gaussian",
    "objective": "elbo",
    "estimator": "pathwise",
}


def made(**changes):
    """A model with the weights that it starts with, and what it is held against."""
    refs = {kind: Ref.parse(name) for kind, name in {**SEQUENCES, **changes}.items()}
    data = CATALOGUE.build("dataset", refs["dataset"]).load()
    parts = build(CATALOGUE, Combination(refs, latent=2), data, 0)
    parts.ready(torch.device("cpu"))
    provides = capabilities(data, parts, measured=True)
    return Subject(parts.model, parts.objective, {}, data, 0, provides=provides)


def figures(evaluator, subject):
    return {(m.metric, m.variant, m.method): m for m in evaluator.evaluate(subject)}


def test_log_densities_are_of_all_steps_and_of_no_padding():
    subject = made()
    split = subject.data.splits["test"]
    found = figures(Tightness(samples=4, repeats=2), subject)
    for metric, due in {
        "log_likelihood": subject.model.exact_log_prob(split.values),
        "data_log_prob": subject.data.log_prob(split.values),
    }.items():
        per_datum, per_step = (found[metric, variant, "exact"] for variant in ("", "per_step"))
        assert per_datum.value == pytest.approx(due.mean().item(), rel=1e-5)
        assert per_step.value == pytest.approx((due.sum() / split.lengths.sum()).item(), rel=1e-5)
        assert per_step.per_datum.mean().item() == pytest.approx(per_step.value, rel=1e-5)
    # the exact posterior leaves no gap: all of these are log p(x)
    for metric in ("elbo", "bound"):
        assert found[metric, "per_step", ""].value == pytest.approx(per_step_of(found), abs=1e-4)
    assert ("effective_sample_size", "per_step", "") not in found


def per_step_of(found):
    return found["log_likelihood", "per_step", "exact"].value


def test_errors_are_scaled_as_figures_are():
    found = figures(Tightness(samples=4, repeats=2), made(posterior="filtering"))
    for metric in ("elbo", "bound"):
        whole, step = (found[metric, variant, ""] for variant in ("", "per_step"))
        assert step.stderr / whole.stderr == pytest.approx(step.value / whole.value)


def test_rate_and_distortion_too():
    found = figures(Informativeness(samples=3), made(posterior="filtering"))
    for metric in ("rate", "distortion"):
        whole, step = (next(m for k, m in found.items() if k[:2] == (metric, v)) for v in ("", "per_step"))
        assert 0 < step.value < whole.value


def test_long_sequences_are_decoded_a_few_at_a_time(monkeypatch):
    """The numbers are others then, and what is exact is not."""
    subject, evaluator = made(), Tightness(samples=4, repeats=2)
    assert _common.pairs_at_once(subject, 2048) == 2048
    monkeypatch.setattr(_common, "_FRAMES", 60)
    assert _common.pairs_at_once(subject, 2048) == 5
    key = ("log_likelihood", "per_step", "exact")
    due = figures(evaluator, subject)[key].value
    monkeypatch.undo()
    assert figures(evaluator, subject)[key].value == pytest.approx(due)


WITHOUT_STEPS = {
    "prior": "standard_normal",
    "posterior": "gaussian[hidden=8]",
    "decoder": "gaussian[hidden=8]",
}


def test_models_without_steps_have_such_figures_of_sequences_too():
    subject = made(**WITHOUT_STEPS)
    found = figures(Tightness(samples=4, repeats=2), subject)
    lengths = subject.data.splits["test"].lengths
    assert found["elbo", "per_step", ""].value == pytest.approx(
        found["elbo", "", ""].value * len(lengths) / int(lengths.sum())
    )


def test_data_that_are_no_sequences_have_none():
    subject = made(dataset="blobs[train=20,test=9]", **WITHOUT_STEPS)
    assert {variant for _, variant, _ in figures(Tightness(samples=4, repeats=2), subject)} == {""}


def test_batches_of_a_subject_are_as_long_as_their_longest():
    subject = made()
    lengths = subject.data.splits["test"].lengths
    due = [int(part.max()) for part in lengths.split(5)]
    assert [x.shape[1] for x in subject.batches(5)] == due
