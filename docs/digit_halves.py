"""The picture of ``digit-halves.md``, drawn by ``python docs/digit_halves.py``
from the models of the suite's first seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import lvmbench
from lvmbench.results.pictures.board import save, style

PATH = Path(__file__).parent / "images" / "digit_halves.svg"
LATENT, SEEN = (0.1, 0.1, 0.1), (0.12, 0.37, 0.66)
SIDE, APART = 8, 2


class Row(NamedTuple):
    """A row of the picture: how the model is fitted, and how q is found."""

    title: str
    network: str
    posterior: str


ROWS = (
    Row("every φ at 0.5", "fully_visible", "bernoulli_svi[steps=0]"),
    Row("every φ at 1", "fully_visible", "bernoulli_svi[steps=0,start=1]"),
    Row("φ fitted, before learning", "fully_visible[iterations=0]", "bernoulli_svi"),
    Row("φ fitted, early in learning", "fully_visible[iterations=2]", "bernoulli_svi"),
    Row("φ fitted, after learning", "fully_visible", "bernoulli_svi"),
)


def fitted(row: Row) -> lvmbench.Fitted:
    """The run of the suite, of seed 0."""
    return lvmbench.fit(
        data="digit_halves",
        prior=row.network,
        posterior=row.posterior,
        decoder=row.network,
        objective="elbo",
        epochs=1,
        batch=1257,
    )


def tops() -> tuple[Tensor, list[Tensor]]:
    """The lower halves of the first test digit of each class, and upper halves for each row of the picture:
    the true ones, then the φ of each q.
    """
    runs = [fitted(row) for row in ROWS]
    test = runs[0].data.splits["test"].ready(torch.device("cpu"))
    assert test.labels is not None
    assert test.factors is not None
    first = [int((test.labels == digit).nonzero()[0]) for digit in range(10)]
    with torch.no_grad():
        return test.x[first], [test.factors[first], *(run.model.q(test.x[first]).mean for run in runs)]


def tile(top: Tensor, bottom: Tensor) -> Any:
    """One digit in colours, ``(8, 8, 3)``: what is seen has its own."""
    parts = ((top.reshape(-1, SIDE), LATENT), (bottom.reshape(-1, SIDE), SEEN))
    return np.concatenate([1 - v.double().numpy()[..., None] * (1 - np.array(ink)) for v, ink in parts])


def sheet(rows: Sequence[Sequence[Any]]) -> Any:
    """Tiles in rows, on white."""
    framed = [[np.pad(t, ((0, APART), (0, APART), (0, 0)), constant_values=1) for t in row] for row in rows]
    return np.concatenate([np.concatenate(row, 1) for row in framed])


def main() -> None:
    """Draw the picture."""
    from matplotlib.figure import Figure

    bottoms, halves = tops()
    rows = [[tile(top, bottom) for top, bottom in zip(half, bottoms, strict=True)] for half in halves]
    with style():
        figure = Figure(figsize=(7.2, 3.8))
        axes = figure.subplots()
        axes.imshow(sheet(rows), interpolation="nearest")
        ends = np.arange(len(rows)) * (SIDE + APART)
        axes.set_yticks(ends + SIDE / 2 - 0.5, ["the truth", *(row.title for row in ROWS)])
        axes.set_xticks([])
        axes.tick_params(left=False, pad=0)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        save(figure, PATH)


if __name__ == "__main__":
    main()
