"""How planning, boards and training grow with their sizes, as tables and as one picture.

``python benchmarks/scaling.py`` plans suites of 1 to 100,000 combinations, makes the boards of 1,000 to
1,000,000 measurements, and trains packs of 1 to 64 seeds and data sets of 600 to 60,000 rows. It prints
seconds of processor time and the most memory that a process has held, each found in processes of its own, and
draws ``scaling.svg`` beside itself. It takes five minutes on a quiet core; ``--only planning,boards`` takes
some of the sections.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import plan
import report
import torch

from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training import train

HERE, EPOCHS, GIB = Path(__file__).parent, 5, 2**20
SMALL = {
    1: ("[standard_normal]", "[gaussian]", "[bernoulli]"),
    10: (
        "[standard_normal]",
        "[gaussian, full_gaussian, planar, radial, iaf]",
        "[bernoulli: {hidden: [64, 128]}]",
    ),
    100: (
        "[standard_normal, mixture: {components: [5, 10, 20, 30]}]",
        "[gaussian, full_gaussian, low_rank_gaussian, planar, radial, iaf, coupling, spline, svi, exact]",
        "[bernoulli: {hidden: [64, 128]}]",
    ),
}
"""Priors, posteriors and decoders of so many combinations; larger grids are those of ``plan.py``."""
NARROW = """
suite: narrow
datasets: [digits]
priors: {}
posteriors: {}
decoders: {}
objectives: [elbo]
evaluators: [tightness, informativeness, clustering, gradient_variance]
"""


class Taken(NamedTuple):
    """Seconds of processor time, and GiB of the largest process."""

    seconds: float
    memory: float


class Section(NamedTuple):
    """What is measured, the unit of its sizes, the sizes, and how one of them is measured."""

    title: str
    unit: str
    sizes: tuple[int, ...]
    measure: Callable[[int, Path], Taken]


def planned(combinations: int, folder: Path) -> Taken:
    """``lvmbench plan`` of so many combinations, without timing steps."""
    path = folder / "suite.yaml"
    latents = str(list(range(2, 2 + combinations // 1000)))
    text = (
        NARROW.format(*SMALL[combinations])
        if combinations in SMALL
        else plan.SUITE.replace("{latents}", latents)
    )
    path.write_text(text)
    return _command("plan", str(path), "--no-estimate")


def board(measurements: int, folder: Path) -> Taken:
    """``lvmbench leaderboard`` of a published board with so many measurements, ten seeds of 100 figures."""
    rows = measurements // 1000
    counts = (rows, 1, 1, 1) if rows < 100 else (10, 10, rows // 100, 1)
    report.write(folder, counts, 10, 100)
    return _command("leaderboard", str(folder))


def _command(*words: str) -> Taken:
    """What a command of lvmbench takes, with the processes that it starts."""
    subprocess.run([sys.executable, "-m", "lvmbench", *words], stdout=subprocess.DEVNULL, check=True)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / GIB)


def seeds(count: int, folder: Path) -> Taken:
    """Five epochs of a pack of so many seeds on the digits."""
    return _trained(Ref("digits"), count)


def rows(count: int, folder: Path) -> Taken:
    """Five epochs of one seed on so many rows."""
    return _trained(Ref("blobs", {"train": count}), 1)


def _trained(dataset: Ref, count: int) -> Taken:
    torch.set_num_threads(1)
    catalogue = load_catalogue()
    head = "bernoulli" if dataset.name == "digits" else "gaussian"
    names = {"prior": "standard_normal", "posterior": "gaussian", "decoder": head, "objective": "elbo"}
    refs = {kind: Ref(name) for kind, name in {**names, "estimator": "pathwise"}.items()}
    combination, data = (
        Combination({"dataset": dataset, **refs}, 8),
        catalogue.build("dataset", dataset).load(),
    )
    parts = [build(catalogue, combination, data, seed) for seed in range(count)]
    budget, start = Budget(epochs=EPOCHS, patience=0), time.process_time()
    train(parts, range(count), data, budget, torch.device("cpu"))
    return Taken(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB)


SECTIONS = {
    "planning": Section("lvmbench plan", "combinations", (1, 10, 100, 1_000, 10_000, 100_000), planned),
    "boards": Section("lvmbench leaderboard", "measurements", (1_000, 10_000, 100_000, 1_000_000), board),
    "seeds": Section("training, 5 epochs of the digits", "seeds", (1, 2, 4, 8, 16, 32, 64), seeds),
    "data": Section("training, 5 epochs of one seed", "rows of data", (600, 6_000, 60_000), rows),
}


def apart(name: str, size: int) -> Taken:
    """One measurement in a process of its own."""
    words = [sys.executable, __file__, "--one", name, str(size)]
    text = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    return Taken(*map(float, text.split()[-2:]))


def picture(found: dict[str, dict[int, Taken]]) -> None:
    """Seconds and GiB against size, a panel for each section."""
    plt.rcParams["svg.hashsalt"] = "lvmbench"
    figure, axes = plt.subplots(1, len(found), figsize=(3.6 * len(found), 3.4), squeeze=False)
    for axis, (name, taken) in zip(axes[0], found.items(), strict=True):
        section = SECTIONS[name]
        axis.loglog(
            list(taken), [one.seconds for one in taken.values()], "o-", label="seconds of the processor"
        )
        axis.loglog(list(taken), [one.memory for one in taken.values()], "s--", label="GiB, largest process")
        axis.set(title=section.title, xlabel=section.unit)
        axis.grid(alpha=0.3)
    axes[0][0].legend(loc="center left", fontsize="small")
    figure.tight_layout()
    figure.savefig(HERE / "scaling.svg", metadata={"Date": None})


def main() -> None:
    """Print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--one", nargs=2, metavar=("SECTION", "SIZE"))
    arguments = parser.parse_args()
    if arguments.one:
        with tempfile.TemporaryDirectory() as folder:
            print(*SECTIONS[arguments.one[0]].measure(int(arguments.one[1]), Path(folder)))
        return
    found: dict[str, dict[int, Taken]] = {}
    for name in arguments.only.split(","):
        section = SECTIONS[name]
        print(f"\n| {section.unit}, {section.title} | s | GiB |\n| --- | --- | --- |")
        for size in section.sizes:
            found.setdefault(name, {})[size] = taken = apart(name, size)
            print(f"| {size:,} | {taken.seconds:.1f} | {taken.memory:.2f} |", flush=True)
    picture(found)


if __name__ == "__main__":
    main()
