"""What saving a training costs: the size of its checkpoint, beside its weights, and the time that it takes.

``python benchmarks/checkpoints.py`` trains three seeds of models of several sizes for an epoch of random
images with Adam, one thread, and then saves and restores each. It prints MiB, and seconds of the processor:
half a minute.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from packs import combination

from lvmbench import Data, Split
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.parts import build
from lvmbench.registry.loader import load_catalogue
from lvmbench.training.checkpoint import Checkpoint
from lvmbench.training.loop import Training

PIXELS, SEEDS, ROUNDS = 784, 3, 5
MIB = 2**20


def training(hidden: int) -> Training:
    """A training of three seeds, after its first epoch."""
    x = (torch.rand(256, PIXELS, generator=torch.Generator().manual_seed(0)) < 0.3).to(torch.uint8)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "binary", "random numbers")
    parts = [build(load_catalogue(), combination(hidden), data, seed) for seed in range(SEEDS)]
    made = Training(parts, range(SEEDS), data, Budget(epochs=1), torch.device("cpu"))
    made.run(lambda epoch: None)
    return made


def median(work: Callable[[], object]) -> float:
    """Seconds of the processor that some work takes."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def row(hidden: int, file: Path) -> str:
    """A line of the table."""
    made, keys = training(hidden), [str(seed) for seed in range(SEEDS)]
    weights = sum(w.nbytes for result in made.results for w in result.weights.values())
    size = sum(p[0].numel() for p in made.pack.parameters.values())
    saved = median(lambda: Checkpoint.of(made, keys, "").write(file))
    restored = median(lambda: Checkpoint.read(file).restore(made))
    mib = weights / MIB, file.stat().st_size / MIB
    return f"{hidden:7}{size:12,}{mib[0]:9.1f}{mib[1]:12.1f}{saved:8.3f}{restored:11.3f}"


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'hidden':>7}{'parameters':>12}{'weights':>9}{'checkpoint':>12}{'save s':>8}{'restore s':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for hidden in (64, 256, 1024, 3072):
            print(row(hidden, Path(folder) / "checkpoint.safetensors"))


if __name__ == "__main__":
    main()
