"""What foreign exceptions say, of bounded length and whatever their own words do."""

from __future__ import annotations

import traceback

from lvmbench.errors import LvmbenchError
from lvmbench.text import shortened

REASON, TRACEBACK = 1_000, 20_000
"""So many characters are kept."""


def reason_of(error: BaseException, *, named: bool = False) -> str:
    """An exception in one line; with its name where it is not one of lvmbench's, or ``named`` asks for it."""
    try:
        text = " ".join(str(error).split())
    except BaseException as worse:
        text = f"(its message cannot be had: {type(worse).__name__})"
    kind = type(error).__name__
    plain = isinstance(error, LvmbenchError) and not named
    return shortened(text if plain else f"{kind}: {text}" if text else kind, REASON)


def traceback_of(error: BaseException) -> str:
    """Where an exception was raised, and after which others."""
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException:  # its words raise what `traceback` does not expect
        text = "".join(traceback.format_tb(error.__traceback__)) + reason_of(error)
    return shortened(text, TRACEBACK)
