"""The chapters of a report that show what trained models make: images, sequences, rows of tables, codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from lvmbench.api.plots import FittedPlots
from lvmbench.errors import LvmbenchError, Refusal
from lvmbench.results.board import Board
from lvmbench.results.labels import labels
from lvmbench.results.pictures.board import style
from lvmbench.results.report.page import Chapter, Entry, Gallery, Picture, Prose
from lvmbench.results.report.svg import inline
from lvmbench.status import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lvmbench.api.fitted import Fitted
    from lvmbench.api.results import Results

MOST_MODELS = 4
"""So many combinations of a data set are shown: the first, and the first with another prior or decoder."""
MOST_COLUMNS = 6
"""So many columns of a table are shown."""
_SIZE = (4.4, 3.4)
_DRAWN: tuple[Callable[..., Axes], ...] = (
    FittedPlots.data,
    FittedPlots.samples,
    FittedPlots.reconstructions,
    FittedPlots.interpolation,
    FittedPlots.traversal,
    FittedPlots.imputations,
    FittedPlots.components,
    FittedPlots.pseudo_inputs,
    FittedPlots.latents,
)


def gallery(results: Results, board: Board) -> Chapter:
    """Pictures of the leading models of each data set, from their stored weights."""
    runs = pd.concat([_leading(board, str(name)) for name in board.frame["dataset"].unique()])
    entries = [
        _entry(results, i, *row) for i, row in enumerate(runs[["key", "dataset", "label", "seed"]].to_numpy())
    ]
    return Chapter("models", "What the models make", entries)


def _leading(board: Board, dataset: str) -> pd.DataFrame:
    """A run of each combination of a data set that is shown, the first that is ok."""
    frame = board.frame[(board.frame["dataset"] == dataset) & (board.frame["seeds"] > 0)]
    frame = pd.concat([frame.iloc[:1], frame.drop_duplicates("prior"), frame.drop_duplicates("decoder")])
    frame = frame[~frame.index.duplicated()].iloc[:MOST_MODELS]
    runs = board.runs[(board.runs["dataset"] == dataset) & (board.runs["status"] == Status.OK)]
    first = runs.sort_values("seed", kind="stable").drop_duplicates("label").set_index("label", drop=False)
    return first.loc[labels(frame, board.names).tolist()]


def _entry(results: Results, place: int, key: str, dataset: str, label: str, seed: int) -> Entry:
    name = f"model{place}"
    try:
        parts: list[Any] = [*_pictures(results.fitted(key), name)]
    except LvmbenchError as error:
        parts = [Prose([f"It cannot be shown: {error}."])]
    return Entry(f"model-{key[:12]}", f"{dataset}: {label}, seed {seed}", parts)


def _pictures(fitted: Fitted, name: str) -> Iterator[Gallery | Prose]:
    """Those pictures that the model and its data are such as for, and why others could not be drawn."""
    drawn, failed = [], []
    for i, draw in enumerate(_table(fitted) if len(fitted.data.summary.event_shape) == 1 else _DRAWN):
        try:
            drawn.append(_picture(draw, fitted.plot, f"{name}-{i}"))
        except Refusal:
            continue
        except Exception as error:  # what a plugin raises costs its own picture
            failed.append(f"A picture could not be drawn: {type(error).__name__}: {error}")
    yield Gallery(drawn)
    if failed:
        yield Prose(failed)


def _table(fitted: Fitted) -> Iterator[Callable[..., Axes]]:
    """What is drawn of the model of a table: samples, codes, its first columns, and pairs of neighbours."""
    shown = range(min(fitted.data.summary.event_shape[0], MOST_COLUMNS))
    yield from (FittedPlots.samples, FittedPlots.latents)
    yield from (_bound(FittedPlots.marginal, i) for i in shown)
    yield from (_bound(FittedPlots.pair, i, i + 1) for i in shown[:-1])


def _bound(draw: Callable[..., Axes], *columns: int) -> Callable[..., Axes]:
    return lambda plots, ax: draw(plots, *columns, ax=ax)


def _picture(draw: Callable[..., Axes], plots: FittedPlots, name: str) -> Picture:
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=_SIZE)
        axes = draw(plots, ax=figure.add_subplot())
    words = axes.get_title(loc="left") or axes.get_title() or axes.get_xlabel()
    return Picture("", inline(figure, name, words))
