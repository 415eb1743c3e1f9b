"""Pictures of data, whether measured or made by a model: images, sequences, columns of tables, points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lvmbench.results.pictures.board import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.floating[Any]]
_GAP = 1  # pixels between images, and steps between sequences
_POINTS: dict[str, Any] = {"s": 7, "linewidths": 0, "alpha": 0.75, "rasterized": True}
_LINES = 4  # the most values of a step that are drawn as lines


def draw_images(axes: Axes, images: Array, ends: tuple[float, float]) -> Axes:
    """Draw images in rows and columns.

    Arguments:
        axes: What to draw on.
        images: Shape ``(R, C, channels, height, width)``, of 1 or 3 channels; what is NaN stays empty.
        ends: The values that are black and white.
    """
    rows, columns, channels, height, width = images.shape
    wide = np.full((rows, columns, channels, height + _GAP, width + _GAP), np.nan)
    wide[..., :height, :width] = images
    whole = wide.transpose(0, 3, 1, 4, 2).reshape(rows * (height + _GAP), columns * (width + _GAP), channels)
    grey = ((whole[:-_GAP, :-_GAP] - ends[0]) / ((ends[1] - ends[0]) or 1.0)).clip(0, 1)
    shade = grey if channels == 3 else np.repeat(grey[..., :1], 3, axis=2)
    alpha = (~np.isnan(grey).any(axis=2, keepdims=True)).astype(float)
    axes.imshow(np.concatenate([np.nan_to_num(shade), alpha], axis=2), interpolation="none")
    axes.set_axis_off()
    for axis in (axes.xaxis, axes.yaxis):  # they would be laid out all the same
        axis.set_visible(False)
    return axes


def draw_sequences(axes: Axes, sequences: Array) -> Axes:
    """Draw sequences one after another: as lines where a step has few values, else as a roll.

    Arguments:
        axes: What to draw on.
        sequences: Shape ``(N, T, D)``; what is NaN stays empty.
    """
    n, steps, values = sequences.shape
    along = np.concatenate([sequences, np.full((n, _GAP, values), np.nan)], axis=1).reshape(-1, values)[
        :-_GAP
    ]
    if values <= _LINES:
        for i in range(values):
            axes.plot(along[:, i], color=PALETTE[i], linewidth=1.1)
    else:
        axes.imshow(along.T, aspect="auto", origin="lower", cmap="Greys", interpolation="none")
        axes.grid(visible=False)
    for i in range(1, n):
        axes.axvline(i * (steps + _GAP) - _GAP, color="#c44e52", linewidth=0.8)
    axes.set_xlabel("step")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def draw_values(axes: Axes, data: Array, samples: Array) -> Axes:
    """Draw how the values of one column lie, those of data against those of samples.

    Arguments:
        axes: What to draw on.
        data: Shape ``(N,)``.
        samples: Shape ``(M,)``.
    """
    values = np.concatenate([data, samples])
    low, high = np.nanquantile(values, [0.002, 0.998])
    few = np.unique(values[~np.isnan(values)])
    edges = _between(few) if len(few) <= 20 else np.linspace(low, high, 31)
    look: dict[str, Any] = {"bins": edges, "density": True}
    axes.hist(data, **look, color="#8c8c8c", alpha=0.55, label="data")
    axes.hist(samples, **look, histtype="step", color=PALETTE[1], linewidth=1.6, label="samples")
    axes.set_yticks([])
    axes.legend(frameon=False, fontsize="x-small")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return axes


def _between(values: Array) -> Array:
    """The edges of bins about some values."""
    middle = (values[1:] + values[:-1]) / 2
    step = float(np.diff(values).min()) / 2 if len(values) > 1 else 0.5
    return np.concatenate([[values[0] - step], middle, [values[-1] + step]])


def draw_pair(axes: Axes, data: Array, samples: Array) -> Axes:
    """Draw two columns of data against those of samples.

    Arguments:
        axes: What to draw on.
        data: Shape ``(N, 2)``.
        samples: Shape ``(M, 2)``.
    """
    axes.scatter(*data.T, color="#8c8c8c", label="data", **_POINTS)
    axes.scatter(*samples.T, color=PALETTE[1], label="samples", **_POINTS)
    axes.legend(frameon=False, fontsize="x-small", markerscale=2)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def draw_points(axes: Axes, points: Array, labels: Sequence[int] | None = None) -> Axes:
    """Draw points of a plane, each in the colour of its label where they have labels.

    Arguments:
        axes: What to draw on.
        points: Shape ``(N, 2)``.
        labels: One for each point.
    """
    if labels is None:
        axes.scatter(*points.T, color=PALETTE[0], **_POINTS)
    else:
        found = np.asarray(labels)
        for i, name in enumerate(np.unique(found)):
            axes.scatter(
                *points[found == name].T, color=PALETTE[i % len(PALETTE)], label=str(name), **_POINTS
            )
        axes.legend(
            frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=2
        )
    axes.spines[["top", "right"]].set_visible(False)
    return axes
