"""How much memory a data set takes in workers that hold it at the same time.

``python benchmarks/data_memory.py [DATASET]`` starts one worker, then six, which load the data (``mnist`` if
none is named) and then do a step of training, and prints what that has added to each worker's share of
memory: its proportional set size, in which a page that n processes hold counts as an nth. Memory that is free
again is given back first. It takes a minute, and Linux.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import fmean

import torch

from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import DataCache, build
from lvmbench.dataset import Data
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training.loop import Training

WORKERS = (1, 6)
STAGES = ("data loaded", "in training")
SMALL = "digits"
PARTS = {
    "prior": "standard_normal",
    "posterior": "gaussian[hidden=8]",
    "decoder": "bernoulli[hidden=8]",
    "objective": "elbo",
    "estimator": "pathwise",
}


def stages(dataset: str) -> Iterator[object]:
    """What a worker holds after each stage; before the first it has trained on something small."""
    catalogue = load_catalogue()
    cache = DataCache(catalogue)
    trained(catalogue, SMALL, cache[Ref.parse(SMALL)])
    yield None
    data = cache[Ref.parse(dataset)]
    yield data
    yield trained(catalogue, dataset, data)


def trained(catalogue: Catalogue, dataset: str, data: Data) -> Training:
    """A training that has done one step."""
    refs = {kind: Ref.parse(name) for kind, name in {"dataset": dataset, **PARTS}.items()}
    combination = Combination(refs, 2, Budget(epochs=1, batch=100))
    parts = [build(catalogue, combination, data, 0)]
    training = Training(parts, [0], data, combination.budget, torch.device("cpu"))
    training.steps_of(1)
    return training


def work(dataset: str, told: Connection) -> None:
    """Go from stage to stage as told, and say when there."""
    for held in stages(dataset):
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free would be kept, now more and now less
        told.send(held is not None)
        told.recv()


def share(process: int) -> float:
    """The proportional set size of a process, in MiB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def shares(dataset: str, workers: int) -> Iterator[float]:
    """The mean share of the workers after each stage, all of them having reached it."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(workers)]
    processes = [context.Process(target=work, args=(dataset, there), daemon=True) for _, there in pipes]
    for process in processes:
        process.start()
    for _ in range(len(STAGES) + 1):
        for here, _ in pipes:
            here.recv()
        yield fmean(share(process.pid or 0) for process in processes)
        for here, _ in pipes:
            here.send(True)
    for process in processes:
        process.join()


def main() -> None:
    dataset = sys.argv[1] if len(sys.argv) > 1 else "mnist"
    print(f"{dataset}: MiB that each worker has more than before there are data\n")
    print(f"| workers | {' | '.join(STAGES)} |\n| --- |{' --- |' * len(STAGES)}")
    for workers in WORKERS:
        before, *after = shares(dataset, workers)
        print(f"| {workers} | {' | '.join(f'{figure - before:.0f}' for figure in after)} |")


if __name__ == "__main__":
    main()
