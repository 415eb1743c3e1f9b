"""Some of the runs: those whose components and settings are like what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from operator import contains

import pandas as pd

from lvmbench.combinations.combination import COLUMNS
from lvmbench.errors import UserError, nearest
from lvmbench.kinds import PARTS
from lvmbench.registry.names import matches
from lvmbench.results.labels import as_text


def chosen(
    records: pd.DataFrame, where: Sequence[str], called: str = "--where", *, exact: bool = False
) -> pd.DataFrame:
    """The runs that are like each of some conditions, ``KIND=PATTERN`` or ``SETTING=PATTERN``.

    A component is like a pattern by its full name or by its bare one; ``*`` and ``?`` are wildcards. With
    ``exact`` only by its full name where there is one of that name.

    Raises `UserError`, which names what they were ``called``, for what is no condition, and where nothing is
    left.

    >>> runs = pd.DataFrame({"prior": ["vamp[components=50]", "mixture"], "latent": [8, 8]})
    >>> chosen(runs, ["prior=vamp", "latent=8"])["prior"].tolist()
    ['vamp[components=50]']
    """
    left = records
    for condition in where:
        name, pattern = parsed(condition, called)
        values = as_text(left[name]) if name in left else pd.Series("none", index=left.index)
        like = values.map(lambda value, name=name, pattern=pattern: _is_like(name, value, pattern))
        like = values == pattern if exact and (values == pattern).any() else like
        if not like.any():
            there = ", ".join(dict.fromkeys(values))
            raise UserError(f"{called} {condition}: no run that is left is like that; {name} is {there}")
        left = left[like.astype(bool)]
    return left


def parsed(condition: str, called: str = "--where") -> tuple[str, str]:
    """Name and pattern of a condition; raises `UserError` for what is none."""
    name, _, pattern = (word.strip() for word in condition.partition("="))
    if not pattern:
        raise UserError(f"{called} {condition}: write NAME=PATTERN, as in prior=vamp or latent=8")
    if name not in COLUMNS:
        raise UserError(
            f"{called} {condition}: '{name}' names no component or setting{nearest(name, COLUMNS)}"
        )
    return name, pattern


def conditions(records: pd.DataFrame, text: str, called: str, beside: str = "") -> list[str]:
    """The conditions of a selection as it is written: ``prior=vamp, latent=8``, the name of a part alone, or
    those of a whole row with ``·`` between them.

    A bare name is of the kind that some run has it of; several are in the order of the kinds, as in tables.
    Where that leaves a choice they are of the kinds that a selection ``beside`` this one names. Raises
    `UserError` where there is none, or still a choice.

    >>> runs = pd.DataFrame([dict.fromkeys(PARTS, "gaussian") | {"prior": "vamp"}])
    >>> conditions(runs, "vamp, decoder=gaussian, latent=8", "A")
    ['prior=vamp', 'decoder=gaussian', 'latent=8']
    """
    pieces = _pieces(text)
    bare = [piece for piece in pieces if _is_bare(piece)]
    kinds = [[kind for kind in PARTS if _has(records, kind, name)] for name in bare]
    ways = [way for way in combinations(PARTS, len(bare)) if all(map(contains, kinds, way))]
    if len(ways) > 1:
        known = _known(records, beside)
        ways = [way for way in ways if known.issuperset(way)] or ways
    if len(ways) != 1 or not pieces:
        raise UserError(f"{called} '{text}': {_unclear(records, bare, kinds)}")
    of_kind = iter(ways[0])
    return [f"{next(of_kind)}={piece}" if _is_bare(piece) else piece for piece in pieces]


def _pieces(text: str) -> list[str]:
    """Split at spaces, commas and dots that are outside brackets."""
    depth, pieces = 0, [""]
    for sign in text:
        depth += (sign == "[") - (sign == "]")
        if depth == 0 and sign in " ,·":
            pieces.append("")
        else:
            pieces[-1] += sign
    return [piece for piece in pieces if piece]


def _known(records: pd.DataFrame, text: str) -> set[str]:
    """The kinds and settings that a selection certainly names."""
    known = set()
    for piece in _pieces(text):
        kinds = [kind for kind in PARTS if _has(records, kind, piece)]
        known |= set(kinds if len(kinds) == 1 else [] if _is_bare(piece) else [piece.partition("=")[0]])
    return known


def _is_bare(piece: str) -> bool:
    """Whether it is the name of a part, and no condition."""
    return "=" not in piece.partition("[")[0]


def _has(records: pd.DataFrame, kind: str, name: str) -> bool:
    return any(_is_like(kind, value, name) for value in records[kind].astype(str).unique())


def _unclear(records: pd.DataFrame, bare: Sequence[str], kinds: Sequence[Sequence[str]]) -> str:
    """Why a selection does not say which parts it means."""
    for name, own in zip(bare, kinds, strict=True):
        if not own:
            parts = {word for kind in PARTS for word in records[kind].astype(str)}
            return f"no run has a part '{name}'{nearest(name, parts | {w.partition('[')[0] for w in parts})}"
        if len(own) > 1:
            return f"'{name}' may be {' or '.join(own)}; write {own[0]}={name}"
    return "write what tells the runs from others: prior=vamp, or the parts of a row"


def _is_like(name: str, value: str, pattern: str) -> bool:
    if name in PARTS:
        return any(matches(word, pattern) for word in (value, value.partition("[")[0]))
    return matches(value, pattern) or _number(value) == _number(pattern)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
