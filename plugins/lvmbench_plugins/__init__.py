"""The reference components of lvmbench: a plugin like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lvmbench

if TYPE_CHECKING:
    from lvmbench.hookspecs import Register


@lvmbench.hookimpl
def lvmbench_register(register: Register) -> None:
    register.dataset("digits", "lvmbench_plugins.datasets.digits:Digits")
    register.dataset("linear_gaussian", "lvmbench_plugins.datasets.linear_gaussian:LinearGaussianData")
    register.dataset("blobs", "lvmbench_plugins.datasets.blobs:Blobs")
    register.dataset("table", "lvmbench_plugins.datasets.table:Table")
    register.dataset("mnist", "lvmbench_plugins.datasets.mnist:Mnist")
    register.dataset("fashion_mnist", "lvmbench_plugins.datasets.fashion_mnist:FashionMnist")

    register.prior("standard_normal", "lvmbench_plugins.priors.standard_normal:StandardNormal")
    register.prior("mixture", "lvmbench_plugins.priors.mixture:MixturePrior")

    register.posterior("gaussian", "lvmbench_plugins.posteriors.gaussian:Gaussian")
    register.posterior("exact", "lvmbench_plugins.posteriors.exact:Exact")

    register.decoder("bernoulli", "lvmbench_plugins.decoders.bernoulli:BernoulliDecoder")
    register.decoder("gaussian", "lvmbench_plugins.decoders.gaussian:GaussianDecoder")
    register.decoder("linear_gaussian", "lvmbench_plugins.decoders.linear_gaussian:LinearGaussian")

    register.objective("elbo", "lvmbench_plugins.objectives.elbo:Elbo")
    register.objective("iwae", "lvmbench_plugins.objectives.iwae:Iwae")

    register.estimator("pathwise", "lvmbench_plugins.estimators.pathwise:Pathwise")
    register.estimator("score", "lvmbench_plugins.estimators.score:Score")

    register.evaluator("tightness", "lvmbench_plugins.evaluators.tightness:Tightness")
    register.evaluator("gradient_variance", "lvmbench_plugins.evaluators.gradient_variance:GradientVariance")
    register.evaluator("informativeness", "lvmbench_plugins.evaluators.informativeness:Informativeness")
    register.evaluator("clustering", "lvmbench_plugins.evaluators.clustering:Clustering")

    register.suite("quick", "lvmbench_plugins:suites/quick.yaml")
    register.suite("exact", "lvmbench_plugins:suites/exact.yaml")
