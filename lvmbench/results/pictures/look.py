"""How figures look: small, on a white ground with a grid of thin lines, in muted colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SCALE = 0.8
"""Sizes are for print: so many times what they would be beside other text on a screen."""
_INK, _TEXT, _SMALL = ".15", 12 * _SCALE, 11 * _SCALE
_TICKS: Mapping[str, Any] = {
    "color": _INK,
    "labelsize": _SMALL,
    "major.size": 6 * _SCALE,
    "major.width": 1.25 * _SCALE,
    "minor.size": 4 * _SCALE,
    "minor.width": _SCALE,
}
LOOK: Mapping[str, Any] = {
    "font.family": ["DejaVu Sans"],  # the font that matplotlib brings
    "font.size": _TEXT,
    "text.color": _INK,
    "text.parse_math": False,  # names are shown as written
    "svg.fonttype": "none",
    "svg.hashsalt": "lvmbench",
    "axes.axisbelow": True,
    "axes.edgecolor": ".8",
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.labelsize": _TEXT,
    "axes.linewidth": 1.25 * _SCALE,
    "axes.titlesize": _TEXT,
    "axes.titleweight": "bold",
    "grid.color": "#e4e4e4",
    "grid.linewidth": _SCALE,
    "legend.fontsize": _SMALL,
    "legend.title_fontsize": _TEXT,
    "lines.linewidth": 1.5 * _SCALE,
    "lines.markersize": 6 * _SCALE,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "patch.linewidth": _SCALE,
    **{f"{axis}tick.{name}": value for axis in "xy" for name, value in _TICKS.items()},
    "xtick.bottom": False,
    "ytick.left": False,
}
"""Settings of matplotlib, but for the colours of lines."""
COLOURS = (
    "#4c72b0",
    "#dd8452",
    "#55a868",
    "#c44e52",
    "#8172b3",
    "#937860",
    "#da8bc3",
    "#8c8c8c",
    "#ccb974",
    "#64b5cd",
)
"""The colours of lines, in turn."""
