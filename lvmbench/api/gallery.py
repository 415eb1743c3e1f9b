"""What trained models make, as a report shows it: images, sequences, rows of tables, codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from lvmbench.api.leading import Shown
from lvmbench.api.plots import FittedPlots
from lvmbench.errors import LvmbenchError, Refusal
from lvmbench.execution.executor import Tell
from lvmbench.results.pictures.board import style
from lvmbench.results.report.page import Entry, Gallery, Picture, Prose
from lvmbench.results.report.svg import inline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lvmbench.api.fitted import Fitted
    from lvmbench.api.results import Results

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


def entries(job: tuple[Results, Sequence[tuple[int, Shown]]], tell: Tell) -> list[Entry]:
    """Pictures of models, by their places, from their stored weights."""
    results, models = job
    return [_entry(results, f"model{place}", model) for place, model in models]


def _entry(results: Results, name: str, model: Shown) -> Entry:
    try:
        return model.entry([*_pictures(results.fitted(model.key), name)])
    except LvmbenchError as error:
        return model.hidden(str(error))


def _pictures(fitted: Fitted, name: str) -> Iterator[Gallery | Prose]:
    """Those pictures that the model and its data are such as for, and why others could not be drawn."""
    drawn, failed, plots = [], [], fitted.plot
    for i, draw in enumerate(_table(fitted) if len(fitted.data.summary.event_shape) == 1 else _DRAWN):
        try:
            drawn.append(_picture(draw, plots, f"{name}-{i}"))
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
