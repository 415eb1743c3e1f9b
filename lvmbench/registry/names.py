"""The name grammar: ``vamp[components=50]``, the same in suites, tables,
file names and on the command line.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lvmbench.errors import UserError
from lvmbench.text import printable

NAME = re.compile(r"[A-Za-z_][\w.-]*")
SUITE = re.compile(rf"{NAME.pattern}(?:/{NAME.pattern})*")
"""The name of a suite may have parts, as those of folders: ``paper/iwae``."""
OPTION = re.compile(r"[A-Za-z_]\w*")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|.', re.DOTALL)  # a quoted text, or one character


@dataclass(frozen=True, eq=False)
class Ref:
    """A component's name and the options given to it; two are equal that are written alike.

    >>> Ref.parse("vamp[components=50, learn=true]")
    Ref(name='vamp', options={'components': 50, 'learn': True})
    >>> str(Ref("table", {"path": "my data.csv", "label": None}))
    'table[label=null,path=my data.csv]'
    >>> str(Ref("denoising", {"base": "iaf[flows=2,hidden=64]"}))
    'denoising[base=iaf[flows=2,hidden=64]]'
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Read a name with options; raises `UserError` where the text is not one."""
        text = text.strip()
        head, bracket, tail = text.partition("[")
        if not NAME.fullmatch(head) or (bracket and not tail.endswith("]")):
            raise UserError(f"'{text}' is not a name; write name or name[option=value,option=value]")
        inner = tail[:-1].strip() if bracket else ""
        return cls(head, _options(inner, text))

    @cached_property
    def _text(self) -> str:
        inner = ",".join(f"{key}={_show(self.options[key])}" for key in sorted(self.options))
        return f"{self.name}[{inner}]" if inner else self.name

    def __str__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def _options(inner: str, text: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for piece in _split(inner, text):
        key, equals, value = piece.partition("=")
        key = key.strip()
        if not equals or not OPTION.fullmatch(key):
            raise UserError(f"'{text}': '{piece.strip()}' is not option=value")
        if key in options:
            raise UserError(f"'{text}': option '{key}' is given twice")
        options[key] = value_of(value.strip())
    return options


def _split(inner: str, text: str) -> list[str]:
    """Split at the commas outside brackets and double quotes."""
    pieces, depth = [""], 0
    for token in TOKEN.findall(inner):
        depth += (token in "[{") - (token in "]}")
        if depth < 0 or token == '"':
            break
        if token == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += token
    else:
        if depth == 0:
            return pieces if inner else []
    raise UserError(f"'{text}': brackets or double quotes do not match")


def value_of(text: str) -> Any:
    """Read one option value: JSON where it is JSON, else the bare text.

    >>> value_of("1e-3"), value_of("true"), value_of("diagonal"), value_of('"5"')
    (0.001, True, 'diagonal', '5')
    """
    try:
        return json.loads(text, parse_constant=str)
    except json.JSONDecodeError:
        return text


def _show(value: Any) -> str:
    """Write one option value so that `value_of` reads it back."""
    if isinstance(value, str) and (_is_plain(value) or _is_reference(value)):
        return value
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text if printable(text) == text else json.dumps(value, separators=(",", ":"))


def _is_plain(text: str) -> bool:
    """Whether a text is read back as it is."""
    special = re.search(r'[,\[\]{}"\n\t]', text)
    return value_of(text) == text == text.strip() == printable(text) and not special


def _is_reference(text: str) -> bool:
    """Whether a text is a name with options, written as such are: its brackets keep its commas together."""
    try:
        ref = Ref.parse(text)
    except UserError:
        return False
    return bool(ref.options) and str(ref) == text


def matches(name: str, pattern: str) -> bool:
    """Whether a name is like a pattern, in which ``*`` and ``?`` are wildcards and the brackets
    of options are literal.

    >>> matches("iwae[samples=50]", "iwae[*]"), matches("iwae", "iwae[samples=50]")
    (True, False)
    """
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
