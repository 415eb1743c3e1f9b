"""Text that can be shown anywhere:
control characters are written out, and signs that an encoding lacks in its own letters.
"""

from __future__ import annotations

import codecs
import io
import re
import shlex
import unicodedata
from collections.abc import Sequence
from typing import TextIO

ERRORS = "lvmbench.text"
"""The name of the error handler of encodings that writes what they lack in letters of ASCII."""

_SIGNS = {
    "±": "+/-",
    "→": "->",
    "←": "<-",
    "↑": "up",
    "↓": "down",
    "≥": ">=",
    "≤": "<=",
    "×": "x",
    "−": "-",
    "–": "-",
    "—": "--",
    "·": "-",
    "…": "...",
    "▸": ">",
    "◂": "<",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}
# control characters but for tab and newline, marks that reorder a line, and halves of pairs, as in
# undecodable file names
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with control characters and undecodable bytes written out, so that no terminal obeys them.

    >>> print(printable("\x1b[31mred \udcff, fünf → ±"))
    \x1b[31mred \xff, fünf → ±
    """
    return _HIDDEN.sub(lambda found: _escape(found[0]), text)


def listed(names: Sequence[str], most: int) -> str:
    """Some names, and how many more there are.

    >>> listed(["a", "b", "c"], 2), listed(["a", "b"], 2)
    ('a, b and 1 more', 'a, b')
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def shortened(text: str, limit: int) -> str:
    """The text, without its middle where it is longer than some characters.

    >>> shortened("abcdefghij" * 10, 44)
    'abcdefghij [… 80 left out …] abcdefghij'
    """
    if len(text) <= limit:
        return text
    kept = (limit - 24) // 2
    return f"{text[:kept]} [… {len(text) - 2 * kept} left out …] {text[-kept:]}"


def legible(text: str, encoding: str) -> str:
    r"""The printable text in signs that an encoding has.

    >>> print(legible("elbo ↑ -1.5 ± 0.1, Lázaro, \x07", "ascii"))
    elbo up -1.5 +/- 0.1, Lazaro, \x07
    """
    return printable(text).encode(encoding, ERRORS).decode(encoding)


def shell(path: object) -> str:
    r"""A path as a word of a shell's command line, whatever bytes are in it.

    >>> print(shell("my board"), shell("o\udcff"))
    'my board' $'o\xff'
    """
    text = str(path)
    if printable(text) == text:
        return shlex.quote(text)
    raw = text.encode("utf-8", "surrogateescape")
    plain = (chr(b) if 32 <= b < 127 and b not in b"\\'" else f"\\x{b:02x}" for b in raw)
    return f"$'{''.join(plain)}'"


def make_legible(stream: TextIO) -> None:
    """Let a stream write any text, whatever its encoding; those that encode nothing can do so already."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=ERRORS)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelled, error.object[error.start : error.end])), error.end


def _spelled(sign: str) -> str:
    plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode() if sign.isalpha() else ""
    return _SIGNS.get(sign) or plain or _escape(sign)


def _escape(sign: str) -> str:
    code = ord(sign)
    if 0xDC80 <= code <= 0xDCFF:  # an undecodable byte
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


codecs.register_error(ERRORS, _spell)


def wrapped(name: str, width: int = 18) -> str:
    """Break a long name where its options do."""
    lines = [""]
    for piece in re.split(r"(?<=[\[,=])", name):
        lines = [*lines, piece] if len(lines[-1] + piece) > width else [*lines[:-1], lines[-1] + piece]
    return "\n".join(filter(None, lines))
