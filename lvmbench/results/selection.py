"""Some of the runs: those whose components and settings are like what is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lvmbench.combinations.combination import COLUMNS
from lvmbench.errors import UserError, nearest
from lvmbench.kinds import PARTS
from lvmbench.registry.names import matches
from lvmbench.results.labels import as_text


def chosen(records: pd.DataFrame, where: Sequence[str]) -> pd.DataFrame:
    """The runs that are like each of some conditions, ``KIND=PATTERN`` or ``SETTING=PATTERN``.

    A component is like a pattern by its full name or by its bare one; ``*`` and ``?`` are wildcards.

    Raises `UserError` for what is no condition, and where nothing is left.

    >>> runs = pd.DataFrame({"prior": ["vamp[components=50]", "mixture"], "latent": [8, 8]})
    >>> chosen(runs, ["prior=vamp", "latent=8"])["prior"].tolist()
    ['vamp[components=50]']
    """
    left = records
    for condition in where:
        name, pattern = _parsed(condition)
        values = as_text(left[name]) if name in left else pd.Series("none", index=left.index)
        like = values.map(lambda value, name=name, pattern=pattern: _is_like(name, value, pattern))
        if not like.any():
            there = ", ".join(dict.fromkeys(values))
            raise UserError(f"--where {condition}: no run that is left is like that; {name} is {there}")
        left = left[like.astype(bool)]
    return left


def _parsed(condition: str) -> tuple[str, str]:
    name, _, pattern = (word.strip() for word in condition.partition("="))
    if not pattern:
        raise UserError(f"--where {condition}: write NAME=PATTERN, as in prior=vamp or latent=8")
    if name not in COLUMNS:
        raise UserError(
            f"--where {condition}: '{name}' names no component or setting{nearest(name, COLUMNS)}"
        )
    return name, pattern


def _is_like(name: str, value: str, pattern: str) -> bool:
    if name in PARTS:
        return any(matches(word, pattern) for word in (value, value.partition("[")[0]))
    return matches(value, pattern) or _number(value) == _number(pattern)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
