"""What training would cost: a few real steps, timed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from lvmbench.build import build

if TYPE_CHECKING:
    from lvmbench.catalogue import Catalogue
    from lvmbench.plan import Plan, Planned

TIMED_STEPS = 3


def seconds_to_train(
    plan: Plan, planned: Planned, catalogue: Catalogue, device: torch.device
) -> float | None:
    """Seconds that a pack would train if no seed stopped early; ``None`` where a step fails."""
    from lvmbench.training.loop import Training

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    data = plan.data[str(planned.combination["dataset"])]
    try:
        parts = [build(catalogue, planned.combination, data, seed) for seed in planned.keys]
        training = Training(parts, list(planned.keys), data, plan.suite.budget, device)
        training.steps_of(1)
        start = time.perf_counter()
        training.steps_of(TIMED_STEPS)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - start) / TIMED_STEPS * training.steps * plan.suite.budget.epochs
    except Exception:
        return None
    finally:
        torch.set_num_threads(threads)
