"""What training and measuring would cost: a few real steps, draws and densities, timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch

from lvmbench.combinations.parts import Parts, build
from lvmbench.model import LatentVariableModel
from lvmbench.noise import Stream
from lvmbench.suites.effort import Estimate, Rates
from lvmbench.terms import Terms
from lvmbench.training.graph import WARM, faster
from lvmbench.training.precision import matmul_precision

if TYPE_CHECKING:
    from lvmbench.dataset import Data
    from lvmbench.registry.catalogue import Catalogue
    from lvmbench.suites.planned import Planned

TIMED_STEPS = WARM + 2
"""As many as record a step before the timed ones, so that these are replayed."""
DATA, SAMPLES = 32, 64
"""How many data, and samples of each, are drawn to see what a draw costs."""


def estimate(planned: Planned, data: Data, catalogue: Catalogue, device: torch.device) -> Estimate:
    """What a combination would cost on this device with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        parts = [build(catalogue, planned.combination, data, seed) for seed in planned.keys]
        training, gradient = _training(planned, parts, data, device)
        with matmul_precision("highest", device):
            return Estimate(training, _rates(parts[0], data, device)._replace(gradient=gradient))
    except Exception:
        return Estimate(None, None)
    finally:
        torch.set_num_threads(threads)


def _training(planned: Planned, parts: list[Parts], data: Data, device: torch.device) -> tuple[float, float]:
    """Seconds of the whole training, and of the gradient of one datum."""
    from lvmbench.training.loop import Training

    budget = planned.combination.budget
    training = Training(parts, list(planned.keys), data, budget, device, wrap=faster(device, WARM))
    with matmul_precision(budget.precision, device, training.product):
        step = _timed(lambda: training.steps_of(TIMED_STEPS), device) / TIMED_STEPS
    longest = float("inf") if budget.seconds is None else budget.seconds * len(parts)
    visits = len(parts) * len(data.splits["train"]) / training.steps
    return min(longest, step * training.steps * budget.epochs), step / visits


@torch.no_grad()
def _rates(parts: Parts, data: Data, device: torch.device) -> Rates:
    parts.ready(device)
    trim = data.in_steps(parts.model.prior.space)
    x = next(data.splits["test"].batches(DATA, trim=trim)).to(device)
    few, many = (_timed(partial(_draw, parts.model, x, K), device) for K in (1, SAMPLES))
    draw = max(0.0, many - few) / (len(x) * (SAMPLES - 1))
    return Rates(max(0.0, few / len(x) - draw), draw, _density(parts.model, x, device))


def _draw(model: LatentVariableModel, x: torch.Tensor, samples: int) -> None:
    Terms(model, x, Stream.seeded(0, "estimate", device=x.device), samples).log_w()


def _density(model: LatentVariableModel, x: torch.Tensor, device: torch.device) -> float:
    """Seconds for log q of one z under the posterior of another datum; none where it has no density."""
    q = model.q(x)
    if "density" not in q.traits:
        return 0.0
    z = q.sample(Stream.seeded(0, "estimate", device=device), SAMPLES).roll(1, 1)
    return _timed(lambda: q.log_prob(z), device) / (len(x) * SAMPLES)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that some work takes, once it has been done before."""
    # on a CPU those of the processor: what else runs on it is not what the work costs
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    _done(work, device)
    start = clock()
    _done(work, device)
    return clock() - start


def _done(work: Callable[[], object], device: torch.device) -> None:
    """Do some work and wait for its end: kernels of a GPU are only queued when a call returns."""
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
