"""How long a large suite takes to be planned.

``python benchmarks/plan.py`` plans grids of priors, posteriors, decoders, objectives and latent sizes and
prints seconds of processor time and microseconds a combination; the largest has 10,000 combinations and
30,000 runs. ``--profile`` says instead where the time of that one goes. It takes ten seconds.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

from lvmbench.registry.loader import load_catalogue
from lvmbench.suites.plan import make_plan
from lvmbench.suites.suite import load_suite

SUITE = """
suite: large
datasets: [digits]
priors: [standard_normal, mixture: {components: [5, 10, 20]}, bernoulli]
posteriors:
  [gaussian, full_gaussian, low_rank_gaussian, planar, radial, iaf, coupling, spline, bernoulli, exact]
decoders: [bernoulli: {hidden: [64, 128]}, gaussian, linear_gaussian]
objectives: [elbo: {beta: [0.5, 1.0]}, iwae: {samples: [5, 50]}, wasserstein]
latent: {latents}
seeds: 3
evaluators: [tightness, informativeness, clustering, gradient_variance]
"""
LATENTS = (1, 3, 10)


def seconds(latents: int, folder: Path) -> tuple[float, int]:
    """The processor time that a plan takes, and how many combinations it has."""
    path = folder / f"large_{latents}.yaml"
    path.write_text(SUITE.replace("{latents}", str(list(range(2, 2 + latents)))))
    catalogue = load_catalogue()
    start = time.process_time()
    plan = make_plan(load_suite(str(path), catalogue), catalogue)
    return time.process_time() - start, len(plan.planned)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true")
    profile = parser.parse_args().profile
    with tempfile.TemporaryDirectory() as folder:
        seconds(1, Path(folder))  # imports, once
        if profile:
            with cProfile.Profile() as profiler:
                seconds(LATENTS[-1], Path(folder))
            pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)
            return
        print(f"{'combinations':>13}{'seconds':>9}{'µs each':>9}")
        for latents in LATENTS:
            took, count = seconds(latents, Path(folder))
            print(f"{count:13,}{took:9.2f}{1e6 * took / count:9.0f}")


if __name__ == "__main__":
    main()
