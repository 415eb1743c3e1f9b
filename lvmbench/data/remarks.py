"""What readers of results should know of data that meet the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lvmbench.data.columns import FAR, atoms, remote
from lvmbench.data.rules import SPLITS, events
from lvmbench.text import listed

if TYPE_CHECKING:
    from lvmbench.dataset import Data
    from lvmbench.split import Split

SHOWN = 5


def remarks(data: Data) -> Iterator[str]:
    """What a reader of results on these data should know."""
    yield from data.notes
    if data.sequence:
        yield f"sequences of {', '.join(_steps(name, split) for name, split in data.splits.items())}"
    if not (data.whole_frames if data.sequence else data.complete):
        shares = (f"{_missing(data, split):.0%} of {name}" for name, split in data.splits.items())
        yield f"not all values were observed: missing are {', '.join(shares)}"
    if data.support in ("real", "unit"):
        yield from _remarks_on_columns(data, events(data, data.splits["train"]))
    held = {
        "labels": [name for name, split in data.splits.items() if split.labels is not None],
        "factors": [name for name, split in data.splits.items() if split.factors is not None],
    }
    for what, names in held.items():
        if 0 < len(names) < len(SPLITS):
            yield f"{what} are in {' and '.join(names)} only: nothing uses them"
    for name, split in data.splits.items():
        yield from _remarks_on_labels(name, split)
    for name, shared in shared_rows(data).items():
        if shared:
            yield f"{shared} of {len(data.splits[name])} rows of {name} equal one of train"


def _steps(name: str, split: Split) -> str:
    """How long the sequences of a split are, in words."""
    least, most = split.lengths.aminmax()
    return f"{least} to {most} steps in {name}" if least < most else f"{most} steps in {name}"


def _missing(data: Data, split: Split) -> float:
    """The share of the values that were not observed, up to the ends of sequences."""
    gaps = events(data, split).isnan()
    return gaps.double().mean().item()


def _remarks_on_columns(data: Data, x: Tensor) -> Iterator[str]:
    if places := atoms(x):
        yield (
            f"{_listed(data, places)}: whole numbers only, or one value in a tenth of the rows or more; "
            "a density grows without bound there"
        )
    if places := remote(x):
        yield (
            f"{_listed(data, places)}: {FAR} standard deviations from 0 or more; "
            "networks learn slowly there: standardise"
        )


def _remarks_on_labels(name: str, split: Split) -> Iterator[str]:
    classes = 0 if split.labels is None else len(split.labels.unique())
    if classes == 1:
        yield f"all {len(split)} labels of {name} are the same: they tell nothing apart"
    elif classes == len(split) > 1:
        yield f"each of the {len(split)} rows of {name} has a label of its own: labels group nothing"


def shared_rows(data: Data) -> dict[str, int]:
    """How many rows of each other split equal one of train."""
    train = set(row_keys(data.splits["train"].x))
    return {name: sum(row in train for row in row_keys(data.splits[name].x)) for name in SPLITS[1:]}


def row_keys(x: Tensor) -> list[bytes]:
    """Something for each row that equal rows have in common, and no others."""
    # NaN has many patterns of bits
    alike = torch.where(x.isnan(), torch.nan, x) if x.is_floating_point() else x
    return [row.tobytes() for row in alike.flatten(1).contiguous().numpy()]


def repeated_rows(data: Data) -> int:
    """How many rows of train equal another one of train."""
    return sum(times for times in Counter(row_keys(data.splits["train"].x)).values() if times > 1)


def _listed(data: Data, places: Sequence[tuple[int, ...]]) -> str:
    """Some columns in words: the first by name or place, and how many there are."""
    names = [data.columns[p[0]] if data.columns else ",".join(map(str, p)) for p in places]
    return f"column{'s' if len(places) > 1 else ''} {listed(names, SHOWN)}"
