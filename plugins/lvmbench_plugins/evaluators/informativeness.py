"""What the latent variables say about the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, final

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from lvmbench import (
    Count,
    DiagonalNormal,
    Distribution,
    Evaluator,
    Measurement,
    Metric,
    NonNegative,
    Subject,
    Terms,
    analytic_kl,
)
from lvmbench_plugins.evaluators._common import Figures, Several, drawn, known, measurements, posterior_means


@final
class Informativeness(Evaluator):
    r"""Rate, distortion, active units, and what a linear probe reads from the posterior means.

    .. math:: R = E_x\, \mathrm{KL}(q(z|x) \,\|\, p(z)), \qquad D = -E_x E_{q(z|x)} \log p(x|z), \qquad
        A = \sum_d \left[\operatorname{Var}_x(E_{q(z|x)} z_d) > \theta\right]

    so that :math:`-R - D` is the ELBO. The rate is in closed form where one is known, else from the samples.
    Posterior and prior both being normal with independent coordinates, the rate is also given for each unit.
    The variance over the data is that of Burda et al., divided by :math:`N`. Active units and the probe need
    the posterior's mean, and the probe needs labels; what a combination cannot have is left out. The probe is
    a logistic regression on standardised means, fitted on the training split, its values as a training visit
    makes them.

    References:
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016),
        https://arxiv.org/abs/1509.00519;
        Fixing a Broken ELBO (Alemi et al., 2018), https://arxiv.org/abs/1711.00464

    Arguments:
        samples: The number of samples of z for each datum.
        threshold: The variance :math:`\theta` above which a unit is active.
        probe_data: The largest number of training data, drawn at random, that the probe is fitted on.
        chunk: How many pairs of sample and datum are decoded at once; the random numbers depend on it.

    Example:
        >>> Informativeness(samples=10).metrics["rate"].unit
        'nats'
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "rate": Metric("nats", "neither", "KL divergence from the prior to the posterior, mean over data"),
        "distortion": Metric("nats", "lower", "minus the expected log likelihood of the data given z"),
        "kl_per_unit": Metric("nats", "neither", "the rate of one latent unit"),
        "active_units": Metric("units", "higher", "latent units whose posterior mean varies with the data"),
        "probe_accuracy": Metric(
            "fraction", "higher", "test accuracy of a linear classifier of posterior means"
        ),
    }

    def __init__(
        self,
        *,
        samples: Several = 100,
        threshold: NonNegative = 0.01,
        probe_data: Count = 10_000,
        chunk: Count = 16384,
    ) -> None:
        self.samples, self.threshold, self.probe_data, self.chunk = samples, threshold, probe_data, chunk

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        noise = subject.noise("informativeness")
        batches = subject.batches(max(1, self.chunk // self.samples))
        yield from measurements([_code(Terms(subject.model, x, noise, self.samples)) for x in batches])
        if "posterior.mean" in subject.provides:
            means = posterior_means(subject, subject.x, self.chunk)
            active = means.var(0, correction=0) > self.threshold
            yield Measurement("active_units", float(active.sum()))
            yield from self._probe(subject, means)

    def _probe(self, subject: Subject, means: Tensor) -> Iterator[Measurement]:
        train, labels = subject.part("train"), subject.labels
        if train.labels is None or labels is None:
            return
        noise = subject.noise("informativeness", "probe")
        chosen = noise.uniform((len(train),)).argsort()[: self.probe_data]
        taught = train.labels[chosen.cpu()].cpu().numpy()
        if len(set(taught)) < 2:
            return
        values = train.x[chosen]
        if subject.data.visit is not None:
            values = subject.data.visit(values, noise)
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        probe.fit(posterior_means(subject, values, self.chunk).numpy(), taught)
        right = torch.from_numpy(probe.predict(means.numpy()) == labels.cpu().numpy()).double()
        yield Measurement("probe_accuracy", right.mean().item(), method="linear", per_datum=right)


def _code(terms: Terms) -> Figures:
    exact = analytic_kl(terms.q, terms.p)
    if exact is None:
        figures = {("rate", "", "sampled"): drawn(terms.log_q - terms.log_prior)}
    else:
        figures = {("rate", "", "exact"): known(exact)}
    figures["distortion", "", ""] = drawn(-terms.log_likelihood)
    units = {("kl_per_unit", str(unit), "exact"): known(kl) for unit, kl in _units(terms.q, terms.p)}
    return figures | units


def _units(q: Distribution, p: Distribution) -> Iterator[tuple[int, Tensor]]:
    """The KL divergence of each unit, ``(B,)``, where the units are independent in both."""
    if type(q) is DiagonalNormal and type(p) is DiagonalNormal:
        one, other = (DiagonalNormal(normal.loc, normal.log_scale, event_dims=0) for normal in (q, p))
        kl = analytic_kl(one, other)
        yield from enumerate(() if kl is None else kl.flatten(1).T)
