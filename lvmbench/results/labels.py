"""What combinations, and the tables that they are in, are called in print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from lvmbench.combinations.combination import SETTINGS
from lvmbench.kinds import PARTS

_MAY_VARY = ("suite", "suite_version", *SETTINGS)


def identity(records: pd.DataFrame) -> list[str]:
    """What tells combinations apart: the components, and the suite and settings that vary."""
    several = (name for name in _MAY_VARY if name in records and records[name].nunique(dropna=False) > 1)
    return [*PARTS, *several]


def label(words: Iterable[Any]) -> str:
    """One line for a combination.

    >>> label(["mixture[components=20]", "gaussian", "", "elbo"])
    'mixture[components=20] · gaussian · elbo'
    """
    return " · ".join(str(word) for word in words if not pd.isna(word) and str(word))


def labels(rows: pd.DataFrame, names: Sequence[str]) -> pd.Series[str]:
    """One line for the combination of each row, its settings by name; indexed as the rows.

    >>> rows = pd.DataFrame({"prior": ["vamp"], "latent": [8], "clip": [None]})
    >>> labels(rows, ["prior", "latent", "clip"]).tolist()
    ['vamp · latent=8 · clip=none']
    """
    # lists, as a Series of text is slow to go through one by one
    named = [[_word(name, value) for value in rows[name].tolist()] for name in names]
    lines = [" · ".join(filter(None, words)) for words in zip(*named, strict=True)]
    return pd.Series(lines, index=rows.index, dtype=str)


def _word(name: str, value: Any) -> str:
    """A component as it is called, a setting with its name."""
    if name not in SETTINGS:
        return "" if pd.isna(value) else str(value)
    return f"{name}={'none' if pd.isna(value) or value == 'none' else value}"


def as_text(values: pd.Series[Any]) -> pd.Series[str]:
    """The values of a column that tells rows apart, as tables show them."""
    texts = ["none" if pd.isna(value) else str(value) for value in values.tolist()]
    return pd.Series(texts, values.index, dtype=str, name=values.name)


def combination_labels(part: pd.DataFrame, names: Sequence[str]) -> pd.Series[str]:
    """A line for each row of one data set, of the components that differ between rows; indexed as the rows.

    >>> rows = pd.DataFrame({"prior": ["vamp", "vamp"], "posterior": ["iaf", "exact"]})
    >>> combination_labels(rows, ["prior", "posterior"]).tolist()
    ['iaf', 'exact']
    """
    differing = [name for name in names if part[name].nunique(dropna=False) > 1] or list(names)
    return labels(part, differing)


def short_labels(part: pd.DataFrame, names: Sequence[str]) -> pd.Series[str]:
    """What the rows of one data set are called, without the options that tell nothing apart.

    Indexed as the rows.
    """
    texts = part[list(names)].apply(as_text)
    return combination_labels(
        texts.assign(**{name: texts[name].map(shorten(texts[name])) for name in names}), names
    )


def shorten(names: Iterable[str]) -> dict[str, str]:
    """For each name: itself without its options, where no other name of that component needs telling apart.

    >>> shorten(["vamp[components=50]", "iaf[flows=2]", "iaf[flows=4]"])
    {'vamp[components=50]': 'vamp', 'iaf[flows=2]': 'iaf[flows=2]', 'iaf[flows=4]': 'iaf[flows=4]'}
    """
    full = list(dict.fromkeys(names))
    heads = [name.partition("[")[0] for name in full]
    return {name: head if heads.count(head) == 1 else name for name, head in zip(full, heads, strict=True)}


def table_name(dataset: str, scale: str) -> str:
    """What the table of a data set is called, of those rows that are ranked together.

    >>> table_name("digits", ""), table_name("digits", "bound of elbo")
    ('digits', 'digits · bound of elbo')
    """
    return label([dataset, scale])


def by_table(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each table, by what it is called."""
    return {table_name(*map(str, place)): part for place, part in rows.groupby(["dataset", "scale"])}
