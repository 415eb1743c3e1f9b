"""Pictures from Python: axes in, axes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lvmbench.api.views import View
from lvmbench.errors import UserError, nearest
from lvmbench.results.labels import by_table
from lvmbench.results.pictures.board import draw_ranking, style
from lvmbench.results.pictures.compare import draw_comparison
from lvmbench.results.pictures.data import (
    draw_images,
    draw_pair,
    draw_points,
    draw_sequences,
    draw_values,
)
from lvmbench.results.pictures.effects import draw_effects
from lvmbench.results.pictures.gaps import draw_gaps, with_gaps
from lvmbench.results.pictures.heatmap import draw_heatmap
from lvmbench.results.pictures.units import draw_units, unit_table
from lvmbench.results.pivot import Pivot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lvmbench.api.fitted import Fitted
    from lvmbench.api.results import Results
    from lvmbench.results.board import Board


def _on(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The axes that were given, or those of a new figure."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=size, layout="constrained")[1]


@dataclass(frozen=True)
class ResultsPlots:
    """The pictures of results.

    Each takes ``where``, conditions such as ``dataset=digits`` that leave one table, and ``ax``, the axes
    to draw on, by default those of a new figure; it returns the axes.
    """

    results: Results

    def heatmap(
        self,
        rows: str,
        columns: str,
        figure: str | None = None,
        *,
        where: Sequence[str] = (),
        ax: Axes | None = None,
    ) -> Axes:
        """A figure by two axes of the grid, with intervals; raises `UserError` where a third is left open.

        Arguments:
            rows: The axis down: ``prior``, ``posterior``, ``dataset``, ``latent``, ...
            columns: The axis across.
            figure: The figure; by default the one that ranks.
            where: Conditions that leave one choice of everything else.
            ax: What to draw on.
        """
        board = self.results.board(figure, where=where)
        pivot = Pivot.of(board, rows, columns)
        blocks = {block.rest: block for block in pivot.blocks}
        block = blocks[_only(list(blocks))]
        size = (1.3 * block.means.shape[1] + 2.0, 0.5 * block.means.shape[0] + 1.2)
        with style():
            axes = draw_heatmap(_on(ax, size), block, board.figures[pivot.figure].better)
            axes.set_title(board.header(pivot.figure), loc="left")
        return axes

    def effects(
        self, metric: str | None = None, *, where: Sequence[str] = (), ax: Axes | None = None
    ) -> Axes:
        """What exchanging each part is worth; green is better and red is worse, where it can be told."""
        board = self.results.board(metric, where=where)
        found = board.worth.parts
        tables = by_table(found)
        if not tables:
            raise UserError("there is no grid on this board, so that no part can be exchanged for another")
        table = tables[_only(list(tables))]
        with style():
            return draw_effects(_on(ax, (7.5, 0.3 * len(table) + 1)), table, board.called(str(board.metric)))

    def compare(
        self,
        a: str,
        b: str,
        metric: str | Sequence[str] = (),
        *,
        equal_within: float | None = None,
        where: Sequence[str] = (),
        ax: Axes | None = None,
    ) -> Axes:
        """How one choice differs from another on each data set, beside what counts as equal."""
        found = self.results.compare(a, b, metric, equal_within=equal_within, where=where)
        rows = int((found.frame["figure"] == found.board.metric).sum())
        with style():
            return draw_comparison(_on(ax, (7.5, 0.5 * rows + 1.2)), found)

    def ranking(
        self, metric: str | None = None, *, where: Sequence[str] = (), ax: Axes | None = None
    ) -> Axes:
        """The figure that ranks: means with their intervals, and single seeds."""
        board, rows = self._table(metric, where)
        with style():
            return draw_ranking(_on(ax, (8, 0.26 * len(rows) + 1)), board, rows)

    def gaps(self, *, where: Sequence[str] = (), ax: Axes | None = None) -> Axes:
        """log p(x) - ELBO of each combination, in its two parts where they are known."""
        board, filled = self._table(None, where)
        rows = with_gaps(filled)
        if rows.empty:
            raise UserError("no gap was measured; it is a figure of tightness and of gap_split")
        with style():
            return draw_gaps(_on(ax, (8, 0.26 * len(rows) + 1)), rows, board.names)

    def units(self, *, where: Sequence[str] = (), ax: Axes | None = None) -> Axes:
        """The KL divergence of each latent unit of each combination, the largest first."""
        board, rows = self._table(None, where)
        table = unit_table(board.runs, list(board.names))
        if table.empty:
            raise UserError("no KL divergence of units was measured; it is a figure of informativeness")
        with style():
            return draw_units(_on(ax, (8, 0.26 * len(rows) + 1)), table)

    def _table(self, metric: str | None, where: Sequence[str]) -> tuple[Board, pd.DataFrame]:
        """A board and the rows of its only table that have a result."""
        board = self.results.board(metric, where=where)
        filled = board.frame[board.frame["seeds"] > 0]
        tables = by_table(filled)
        if not tables:
            raise UserError("no run gave a result, so that there is nothing to draw")
        return board, tables[_only(list(tables))]


def _only(names: Sequence[str]) -> str:
    """The only one of some names; raises `UserError` for several."""
    if len(names) == 1:
        return names[0]
    if not names:
        raise UserError("nothing was measured by these two axes")
    shown = "; ".join(names[:3]) + ("; ..." if len(names) > 3 else "")
    raise UserError(f"there are {len(names)} to choose from ({shown}); choose by where=['NAME=PATTERN', ...]")


@dataclass(frozen=True)
class FittedPlots:
    """The pictures of a trained model.

    Each takes ``ax``, the axes to draw on, by default those of a new figure, and returns the axes. Raises
    `Refusal` where the model or its data are not such as the picture is of.
    """

    fitted: Fitted
    split: str = "test"

    @cached_property
    def view(self) -> View:
        """What the model makes of the data."""
        return View(self.fitted, self.split)

    def data(self, n: int | None = None, *, ax: Axes | None = None) -> Axes:
        """Data: images, sequences, or rows of a table, by default as many as there is room for."""
        return self._drawn(self.view.data(n or self._many), ax, "data")

    def samples(self, n: int | None = None, *, ax: Axes | None = None) -> Axes:
        """Samples of the model: images, sequences, or rows of a table beside those of data."""
        n = n or self._many
        return self._drawn(self.view.samples(n), ax, "samples", self.view.data(n))

    @property
    def _many(self) -> int:
        """How many images, sequences or rows there is room for."""
        return 40 if "dataset.image" in self.fitted.provides else 4 if self.fitted.data.sequence else 500

    def reconstructions(self, n: int = 10, *, ax: Axes | None = None) -> Axes:
        """Data above, and below what the decoder makes of their codes."""
        self.view.require("dataset.image")
        x = self.view.data(n)
        return self._images(
            [x, self.view.decoded(self.view.codes(n))], ax, "data above, reconstructions below"
        )

    def interpolation(self, pairs: int = 4, steps: int = 10, *, ax: Axes | None = None) -> Axes:
        """Rows from one datum to another, along a line between their codes."""
        self.view.require("dataset.image")
        return self._images(self.view.between(pairs, steps), ax, "between the codes of two data")

    def traversal(self, units: int = 8, steps: int = 9, *, ax: Axes | None = None) -> Axes:
        """A row for each unit of the code, those that differ most between data: what moving it does."""
        self.view.require("dataset.image")
        return self._images(self.view.traversal(units, steps), ax, "one unit of the code moved in each row")

    def imputations(self, n: int = 10, rounds: int = 20, *, ax: Axes | None = None) -> Axes:
        """Images with their upper half hidden, what the model fills in, and what they were."""
        hidden, filled = self.view.imputed(n, rounds)
        return self._images([hidden, filled, self.view.data(n)], ax, "seen, filled in, and what it was")

    def components(self, n: int = 40, *, ax: Axes | None = None) -> Axes:
        """What the decoder makes of the means of the prior's components, the heaviest first."""
        self.view.require("dataset.image")
        return self._drawn(self.view.centres(n), ax, "means of the prior's components")

    def pseudo_inputs(self, n: int = 40, *, ax: Axes | None = None) -> Axes:
        """The data that a VampPrior has made up for itself."""
        return self._drawn(self.view.pseudo_inputs(n), ax, "pseudo-inputs of the prior")

    def latents(self, n: int = 1000, *, ax: Axes | None = None) -> Axes:
        """The codes of data in the colours of their labels; of more than two dimensions, the plane of largest
        variance.
        """
        self.view.require("prior.fixed")
        points, axis = _plane(_numbers(self.view.codes(n).flatten(1)))
        labels = self.view.subject.labels
        with style():
            axes = draw_points(_on(ax, (5, 4)), points, None if labels is None else labels[:n].tolist())
            axes.set(xlabel=f"{axis} 1", ylabel=f"{axis} 2")
            axes.set_title("codes", loc="left")
        return axes

    def marginal(self, column: str | int = 0, n: int = 2000, *, ax: Axes | None = None) -> Axes:
        """How the values of one column of a table lie, of data and of samples."""
        name, data, samples = self._column(column, n)
        with style():
            axes = draw_values(_on(ax, (3.2, 2.2)), data, samples)
            axes.set_xlabel(name)
        return axes

    def pair(
        self, first: str | int = 0, second: str | int = 1, n: int = 500, *, ax: Axes | None = None
    ) -> Axes:
        """Two columns of a table against each other, of data and of samples."""
        (x, *across), (y, *up) = self._column(first, n), self._column(second, n)
        data, samples = (np.stack(both, axis=1) for both in zip(across, up, strict=True))
        with style():
            axes = draw_pair(_on(ax, (3.4, 3.2)), data, samples)
            axes.set(xlabel=x, ylabel=y)
        return axes

    def _column(self, column: str | int, n: int) -> tuple[str, Any, Any]:
        found = {name: (_numbers(x), _numbers(y)) for name, x, y in self.view.columns(n)}
        name = list(found)[column] if isinstance(column, int) and column < len(found) else str(column)
        if name not in found:
            raise UserError(f"there is no column '{name}'{nearest(name, found)}")
        return name, *found[name]

    def _drawn(self, x: Tensor, ax: Axes | None, title: str, beside: Tensor | None = None) -> Axes:
        """Data as images, as sequences or, beside others, as points, as they are."""
        if "dataset.image" in self.fitted.provides:
            rows = max(len(x) // 10, 1)
            return self._images(x[: rows * (len(x) // rows)].unflatten(0, (rows, -1)), ax, title)
        if self.fitted.data.sequence:
            return self._sequences(x, ax, title)
        return self._points(x, ax, title, beside)

    def _sequences(self, x: Tensor, ax: Axes | None, title: str) -> Axes:
        with style():
            axes = draw_sequences(_on(ax, (9, 2.4)), _numbers(x.flatten(2)))
            axes.set_title(title, loc="left")
        return axes

    def _points(self, x: Tensor, ax: Axes | None, title: str, beside: Tensor | None) -> Axes:
        """Rows of a table in the plane in which they, or the data beside them, differ most."""
        data = x if beside is None else beside
        points, axis = _plane(_numbers(torch.cat([data, x]).flatten(1)), len(data))
        with style():
            axes = _on(ax, (4, 3.6))
            if beside is None:
                draw_points(axes, points[len(data) :])
            else:
                draw_pair(axes, points[: len(data)], points[len(data) :])
            axes.set(xlabel=f"{axis} 1", ylabel=f"{axis} 2")
            axes.set_title(title, loc="left")
        return axes

    def _images(self, rows: Sequence[Tensor] | Tensor, ax: Axes | None, title: str) -> Axes:
        images = np.stack([_numbers(row) for row in rows])
        height, width = images.shape[0] * images.shape[3], images.shape[1] * images.shape[4]
        scale = min(6.0 / width, 5.0 / height)
        with style():
            axes = draw_images(_on(ax, (scale * width, scale * height + 0.3)), images, self.fitted.data.range)
            axes.set_title(title, loc="left")
        return axes


def _numbers(x: Tensor) -> Any:
    return x.detach().cpu().numpy()


def _plane(points: Any, known: int | None = None) -> tuple[Any, str]:
    """Points ``(N, D)`` in two dimensions, and what these are called: the values themselves,
    or the principal components of more, as the first ``known`` points have them.
    """
    values = np.nan_to_num(points)
    if values.shape[1] <= 2:
        return np.pad(values, ((0, 0), (0, 2 - values.shape[1]))), "value"
    centred = values - values[:known].mean(axis=0)
    _, _, directions = np.linalg.svd(centred[:known], full_matrices=False)
    return centred @ directions[:2].T, "principal component"
