"""Figures as svg inside of a page: small, dark on light or light on dark, with names of their own."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from lvmbench.results.pictures.board import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.transforms import BboxBase

_THEMED = {
    "#262626": "var(--ink)",
    "#000000": "var(--ink)",
    "#3f3f3f": "var(--ink)",
    "#4d4d4d": "var(--soft)",
    "#8a8a8a": "var(--soft)",
    "#9a9a9a": "var(--soft)",
    "#1f5fa8": "var(--link)",
    "#ffffff": "var(--paper)",
    "#e4e4e4": "var(--rule)",
    "#cccccc": "var(--rule)",
    "#c8c8c8": "var(--rule)",
    "#d0d0d0": "var(--rule)",
}
"""What the ink of figures is called in the page's style; all other colours stay."""
_DPI = 110
"""The resolution of what is drawn as pixels."""
_MARGIN = 0.1
"""Inches about what is drawn."""
_COLOUR = re.compile("|".join(_THEMED))
_METADATA = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_NAMED = re.compile(r'(\bid="|url\(#|href="#)')
_WIDTH = re.compile(r'width="([\d.]+)pt"')
_LEAST = 0.8
"""No figure is shown smaller than at this share of its size; narrow screens scroll."""
_NUMBER = re.compile(r"(\d+\.\d\d)\d+")
_TAG = re.compile(r"<[^>]*>")


def inline(figure: Figure, name: str, words: str) -> Markup:
    """A figure as an element of a page; all that is text in it is text in the page.

    Arguments:
        figure: What to draw.
        name: What no other figure of the page is called: identifiers begin with it.
        words: What it shows, for those who do not see it.
    """
    buffer = io.StringIO()
    how: dict[str, Any] = {"format": "svg", "dpi": _DPI, "transparent": True, "metadata": {"Date": None}}
    with style():
        figure.savefig(buffer, bbox_inches=_box(figure), **how)
    text = buffer.getvalue()
    text = _METADATA.sub("", text[text.index("<svg") :])
    text = _TAG.sub(lambda tag: _fit(tag[0], name), re.sub(r"\s*\n\s*", " ", text))
    least = round(_LEAST * float(_WIDTH.search(text)[1]))  # type: ignore[index]
    head = f'<svg role="img" aria-label="{escape(words)}" style="min-width: {least}pt"'
    return Markup(text.replace("<svg", head, 1))  # matplotlib has escaped what it wrote


def _box(figure: Figure) -> BboxBase | str:
    """The part with something on it; matplotlib finds that by drawing twice, as only a layout has need of."""
    return "tight" if figure.get_layout_engine() else figure.get_tightbbox().padded(_MARGIN)


def _fit(tag: str, name: str) -> str:
    """A tag with its coordinates to two digits, identifiers of this name, and the page's colours; what
    stands between tags is what people read, and stays as it is.
    """
    tag = _NAMED.sub(rf"\g<1>{name}-", _NUMBER.sub(r"\1", tag))
    return _COLOUR.sub(lambda found: _THEMED[found[0]], tag)
