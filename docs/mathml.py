"""An extension of Python's Markdown that writes formulas as MathML, which browsers show without scripts."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert
from markdown import Extension, Markdown
from markdown.postprocessors import Postprocessor

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
FUNCTION = re.compile(r"(<mi>(?:log|exp|max|min)</mi>)(?=<mi>|<mover>|<mfrac>|<msub>)")


class Formulas(Postprocessor):
    """Replaces what ``pymdownx.arithmatex`` has marked as a formula."""

    def run(self, text: str) -> str:
        return FORMULA.sub(_mathml, text)


class MathML(Extension):
    """Formulas as MathML; needs ``pymdownx.arithmatex`` with ``generic``."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        md.postprocessors.register(Formulas(md), "mathml", 0)  # after the formulas are put back into the text


def makeExtension(**options: Any) -> MathML:  # noqa: N802
    """What Markdown calls to make the extension of a module."""
    return MathML(**options)


def _mathml(match: re.Match[str]) -> str:
    tag, latex = match[1], html.unescape(match[2]).strip()
    made = convert(latex, display="block" if tag == "div" else "inline")
    if unknown := re.search(r">(\\\w+)<", made):
        raise ValueError(f"{unknown[1]} has no MathML, in the formula {latex}")
    spaced = FUNCTION.sub(r'\1<mspace width="0.167em"/>', made)
    return f'<{tag} class="arithmatex">{spaced}</{tag}>'
