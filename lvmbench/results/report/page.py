"""A page: chapters of prose, tables and pictures, set in one file of html."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lvmbench.text import printable

if TYPE_CHECKING:
    from jinja2 import Template

_SCRIPTS = ("vendor/dataTables-3.1.5.min.js", "vendor/dataTables.buttons-4.1.1.min.js", "page.js")
_TAG = re.compile(r"<(?=/script|!--)", re.IGNORECASE)


@dataclass(frozen=True)
class Prose:
    """Paragraphs; the first may stand out as the answer."""

    lines: Sequence[str]
    leading: bool = False


@dataclass(frozen=True)
class Picture:
    """A drawing with its title and what to know of it."""

    title: str
    svg: Markup
    caption: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Commands:
    """Lines of a shell."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Entry:
    """Something with an anchor of its own: a component, a combination or a model, and its parts."""

    anchor: str
    title: str
    parts: Sequence[Any]


@dataclass(frozen=True)
class Fold:
    """What is shown when it is opened."""

    title: str
    parts: Sequence[Any]


@dataclass(frozen=True)
class Chapter:
    """A part of a page with a place in its table of contents.

    Arguments:
        anchor: Where it is.
        title: What it is of.
        parts: `Prose`, `Picture`, `Gallery`, `Grid`, `Commands`, `Entry` and `Fold`, in order.
    """

    anchor: str
    title: str
    parts: Sequence[Any] = field(default_factory=tuple)


def render(title: str, facts: Sequence[str], chapters: Sequence[Chapter]) -> str:
    """The html of a page: it asks for nothing outside of itself, and runs no script but its own.

    Arguments:
        title: What the page is of.
        facts: What stands below the title.
        chapters: Those without parts are left out.
    """
    shown = [chapter for chapter in chapters if chapter.parts]
    scripts = [_script(name) for name in _SCRIPTS]
    return _template().render(
        title=title,
        facts=facts,
        chapters=shown,
        style=Markup(_text("page.css")),
        scripts=[Markup(script) for script in scripts],
        allowed=" ".join(map(_fingerprint, scripts)),
    )


def _script(name: str) -> str:
    """A script as it stands in html, which takes some signs in it for tags of its own."""
    return _TAG.sub(r"\\x3c", _text(name))


def _fingerprint(script: str) -> str:
    """What a page names a script by that may run in it."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _text(name: str) -> str:
    return (files("lvmbench.results.report") / name).read_text(encoding="utf-8").strip()


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_legible
    )
    environment.globals["kind"] = lambda part: type(part).__name__
    environment.filters |= {"breaking": _breaking, "code": _code}
    return environment.from_string(_text("page.html"))


def _breaking(text: str) -> Markup:
    """A name that may be broken where its words end."""
    return Markup("<wbr>").join(re.split(r"(?<=[_\[/,])", printable(text)))


def _code(text: str) -> Markup:
    """A text in which what stands between backticks is code."""
    parts = re.split(r"`([^`]+)`", printable(text))
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def _legible(value: Any) -> Any:
    """Text without signs that reorder a line or that no browser shows; what is html stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
