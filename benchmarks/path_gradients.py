"""What a training step costs with path gradients, beside plain pathwise ones, for each pathwise posterior.

``python benchmarks/path_gradients.py``: five seeds in one pack, on digits, one thread, processor time; the
median of some rounds.
"""

import statistics
import time

import torch

from lvmbench import Data
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.kinds import PARTS
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training.loop import Training

POSTERIORS = (
    "gaussian",
    "full_gaussian",
    "low_rank_gaussian",
    "planar",
    "radial",
    "sylvester",
    "coupling",
    "spline",
    "iaf",
)
SEEDS, LATENT, STEPS, ROUNDS = range(5), 16, 10, 5


def seconds(catalogue: Catalogue, data: Data, posterior: str, estimator: str) -> float:
    """Seconds of one step of a pack, the median of the rounds."""
    names = ("digits", "standard_normal", posterior, "bernoulli", "elbo", estimator)
    combination = Combination(dict(zip(PARTS, map(Ref.parse, names), strict=True)), LATENT)
    parts = [build(catalogue, combination, data, seed) for seed in SEEDS]
    training = Training(parts, list(SEEDS), data, Budget(batch=100), torch.device("cpu"))
    training.steps_of(3)

    def once() -> float:
        start = time.process_time()
        training.steps_of(STEPS)
        return (time.process_time() - start) / STEPS

    return statistics.median(once() for _ in range(ROUNDS))


def main() -> None:
    torch.set_num_threads(1)
    catalogue = load_catalogue()
    data = catalogue.build("dataset", "digits").load()
    print(f"{'posterior':18} {'pathwise, ms':>12} {'stl, ms':>12} {'ratio':>6}")
    for posterior in POSTERIORS:
        pathwise, stl = (1e3 * seconds(catalogue, data, posterior, e) for e in ("pathwise", "stl"))
        print(f"{posterior:18} {pathwise:12.1f} {stl:12.1f} {stl / pathwise:6.2f}", flush=True)


if __name__ == "__main__":
    main()
