"""lvmbench: a plugin-based benchmark harness for latent variable models.

Shapes in every docstring: ``K`` samples, ``B`` batch, ``*x`` and ``*z`` event shapes. A log density of
``(K, B, *z)`` has shape ``(K, B)``, is in nats per datum, and keeps its sign: higher is better.

Public names are imported when first used, so that importing lvmbench stays free of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lvmbench.registry.hookspecs import hookimpl

if TYPE_CHECKING:
    from lvmbench.api.files import load as load
    from lvmbench.api.files import save as save
    from lvmbench.api.fitted import Fitted as Fitted
    from lvmbench.api.fitted import evaluate as evaluate
    from lvmbench.api.fitted import fit as fit
    from lvmbench.api.results import Results as Results
    from lvmbench.api.suites import run as run
    from lvmbench.component import Metric as Metric
    from lvmbench.data.files import RawFile as RawFile
    from lvmbench.data.files import fetch as fetch
    from lvmbench.data.published import Published as Published
    from lvmbench.dataset import Data as Data
    from lvmbench.dataset import Dataset as Dataset
    from lvmbench.dataset import DataSummary as DataSummary
    from lvmbench.dataset import Support as Support
    from lvmbench.decoder import Canvas as Canvas
    from lvmbench.decoder import CanvasDecoder as CanvasDecoder
    from lvmbench.decoder import Decoder as Decoder
    from lvmbench.decoder import canvas_word as canvas_word
    from lvmbench.distributions import Bernoulli as Bernoulli
    from lvmbench.distributions import BinaryChain as BinaryChain
    from lvmbench.distributions import Categorical as Categorical
    from lvmbench.distributions import Chain as Chain
    from lvmbench.distributions import Denoised as Denoised
    from lvmbench.distributions import DiagonalNormal as DiagonalNormal
    from lvmbench.distributions import Distribution as Distribution
    from lvmbench.distributions import Finite as Finite
    from lvmbench.distributions import Flow as Flow
    from lvmbench.distributions import InvertibleFlow as InvertibleFlow
    from lvmbench.distributions import LinearChain as LinearChain
    from lvmbench.distributions import LinearDynamics as LinearDynamics
    from lvmbench.distributions import LinearMove as LinearMove
    from lvmbench.distributions import LinearSteps as LinearSteps
    from lvmbench.distributions import LowRankNormal as LowRankNormal
    from lvmbench.distributions import Marginal as Marginal
    from lvmbench.distributions import Memory as Memory
    from lvmbench.distributions import Mixture as Mixture
    from lvmbench.distributions import MultivariateNormal as MultivariateNormal
    from lvmbench.distributions import Noised as Noised
    from lvmbench.distributions import Recurrent as Recurrent
    from lvmbench.distributions import Resampled as Resampled
    from lvmbench.distributions import Steps as Steps
    from lvmbench.distributions import cholesky as cholesky
    from lvmbench.divergence import analytic_kl as analytic_kl
    from lvmbench.divergence import register_draw_kl as register_draw_kl
    from lvmbench.divergence import register_kl as register_kl
    from lvmbench.divergence import register_posterior as register_posterior
    from lvmbench.errors import LvmbenchError as LvmbenchError
    from lvmbench.errors import Refusal as Refusal
    from lvmbench.errors import Unavailable as Unavailable
    from lvmbench.errors import UserError as UserError
    from lvmbench.errors import nearest as nearest
    from lvmbench.estimator import Estimator as Estimator
    from lvmbench.evaluator import Evaluator as Evaluator
    from lvmbench.evaluator import Measurement as Measurement
    from lvmbench.evaluator import Subject as Subject
    from lvmbench.evaluator import Workload as Workload
    from lvmbench.latents import LatentSpace as LatentSpace
    from lvmbench.model import LatentVariableModel as LatentVariableModel
    from lvmbench.networks import encoder as encoder
    from lvmbench.networks import network as network
    from lvmbench.noise import Buffer as Buffer
    from lvmbench.noise import Demand as Demand
    from lvmbench.noise import Noise as Noise
    from lvmbench.noise import Recorder as Recorder
    from lvmbench.noise import Stream as Stream
    from lvmbench.noise import derive as derive
    from lvmbench.noise import generator as generator
    from lvmbench.objective import Estimate as Estimate
    from lvmbench.objective import Objective as Objective
    from lvmbench.objective import SurrogateObjective as SurrogateObjective
    from lvmbench.objective import WeightObjective as WeightObjective
    from lvmbench.observation import ended as ended
    from lvmbench.observation import lasting as lasting
    from lvmbench.observation import observed as observed
    from lvmbench.options import Base as Base
    from lvmbench.options import Count as Count
    from lvmbench.options import Enough as Enough
    from lvmbench.options import Matched as Matched
    from lvmbench.options import NonNegative as NonNegative
    from lvmbench.options import Positive as Positive
    from lvmbench.options import Precision as Precision
    from lvmbench.options import Probability as Probability
    from lvmbench.options import Size as Size
    from lvmbench.options import Sizes as Sizes
    from lvmbench.options import Varying as Varying
    from lvmbench.options import sizes_of as sizes_of
    from lvmbench.posterior import Amortized as Amortized
    from lvmbench.posterior import Posterior as Posterior
    from lvmbench.posterior import Searched as Searched
    from lvmbench.prior import MarkovPrior as MarkovPrior
    from lvmbench.prior import Prior as Prior
    from lvmbench.prior import SequencePrior as SequencePrior
    from lvmbench.registry.hookspecs import Register as Register
    from lvmbench.split import Split as Split
    from lvmbench.steps import Walk as Walk
    from lvmbench.terms import Terms as Terms
    from lvmbench.tracker import EpochEnded as EpochEnded
    from lvmbench.tracker import EvaluationEnded as EvaluationEnded
    from lvmbench.tracker import JobStarted as JobStarted
    from lvmbench.tracker import SuiteEnded as SuiteEnded
    from lvmbench.tracker import SuiteStarted as SuiteStarted
    from lvmbench.tracker import TrackedRun as TrackedRun
    from lvmbench.tracker import Tracker as Tracker
    from lvmbench.tracker import TrainingEnded as TrainingEnded

__version__ = "0.1.0"

_HOMES = {
    "api.files": ["load", "save"],
    "api.suites": ["run"],
    "component": ["Metric"],
    "dataset": ["Data", "Dataset", "DataSummary", "Support"],
    "decoder": ["Canvas", "CanvasDecoder", "Decoder", "canvas_word"],
    "distributions": [
        "Bernoulli",
        "BinaryChain",
        "Categorical",
        "Chain",
        "Denoised",
        "DiagonalNormal",
        "Distribution",
        "Finite",
        "Flow",
        "InvertibleFlow",
        "LinearChain",
        "LinearDynamics",
        "LinearMove",
        "LinearSteps",
        "LowRankNormal",
        "Marginal",
        "Memory",
        "Mixture",
        "MultivariateNormal",
        "Noised",
        "Recurrent",
        "Resampled",
        "Steps",
        "cholesky",
    ],
    "divergence": ["analytic_kl", "register_draw_kl", "register_kl", "register_posterior"],
    "errors": ["LvmbenchError", "Refusal", "Unavailable", "UserError", "nearest"],
    "estimator": ["Estimator"],
    "evaluator": ["Evaluator", "Measurement", "Subject", "Workload"],
    "api.fitted": ["Fitted", "evaluate", "fit"],
    "latents": ["LatentSpace"],
    "model": ["LatentVariableModel"],
    "networks": ["encoder", "network"],
    "noise": ["Buffer", "Demand", "Noise", "Recorder", "Stream", "derive", "generator"],
    "objective": ["Estimate", "Objective", "SurrogateObjective", "WeightObjective"],
    "observation": ["ended", "lasting", "observed"],
    "options": [
        "Base",
        "Count",
        "Enough",
        "Matched",
        "NonNegative",
        "Positive",
        "Precision",
        "Probability",
        "Size",
        "Sizes",
        "Varying",
        "sizes_of",
    ],
    "posterior": ["Amortized", "Posterior", "Searched"],
    "prior": ["MarkovPrior", "Prior", "SequencePrior"],
    "data.files": ["RawFile", "fetch"],
    "data.published": ["Published"],
    "api.results": ["Results"],
    "split": ["Split"],
    "steps": ["Walk"],
    "terms": ["Terms"],
    "tracker": [
        "EpochEnded",
        "EvaluationEnded",
        "JobStarted",
        "SuiteEnded",
        "SuiteStarted",
        "TrackedRun",
        "Tracker",
        "TrainingEnded",
    ],
    "registry.hookspecs": ["Register"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", "hookimpl", *sorted(_HOME)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lvmbench' has no attribute '{name}'")
    return getattr(importlib.import_module(f"lvmbench.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
