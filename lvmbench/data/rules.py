"""The rules that every data set meets, whoever made it; and what its readers should know although it meets them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lvmbench.errors import DataError

if TYPE_CHECKING:
    from lvmbench.dataset import Data, Split

SPLITS = ("train", "validation", "test")
DTYPES = (
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.float32, torch.float64),
)
"""The types that values may be stored in."""
SMALL = (torch.bool, torch.uint8, torch.int8, torch.int16)
"""The types of which single precision holds every value."""
ROUNDING = torch.finfo(torch.float32).eps
RESOLUTION = 2**-8
"""Single precision is enough where its steps are at most this share of a column's spread.

Rounding to steps h adds h^2 / 12 to a variance s^2, and as much again to each mean that is compared with x: log densities are
then off by about (h / s)^2 / 12, which is a millionth of a nat for each value.
"""
WHOLE = 2**24 - 1
"""The largest whole number below those that single precision rounds."""
RECURRING = 0.1
"""The share of rows from which on a value that recurs in them is an atom."""
FEW = 5
"""So few rows may hold the same value by chance, as decimals are rounded."""
FAR = 30
"""From so many standard deviations on, training lags: on probabilistic PCA by more than a nat after 100 epochs."""
CHUNK = 4096
SHOWN = 5


def _whole(x: Tensor) -> Tensor:
    return (x >= 0) & (x <= WHOLE) & (x == x.round())


def _unit(x: Tensor) -> Tensor:
    return (x >= 0) & (x <= 1 + ROUNDING)  # as much as a stored 255 may be off once it is scaled


SUPPORTS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "binary": (lambda x: (x == 0) | (x == 1), "0 or 1"),
    "unit": (_unit, "from 0 to 1"),
    "count": (_whole, f"a whole number from 0 to {WHOLE}"),
    "real": (torch.isfinite, "finite"),
}
"""For each support, which values lie in it, and that in words; nothing else says so."""
DERIVED = frozenset({*SUPPORTS, "labels", "factors", "log_prob"})
"""The capabilities that follow from the data."""


def admit(data: Data) -> None:
    """Raise `DataError` for data that break a rule, with the place."""
    _require(
        data.support in SUPPORTS,
        f"support {data.support!r} is not known",
        f"it is one of {', '.join(SUPPORTS)}",
    )
    _require(bool(data.licence), "there is no licence", "say under what terms the data may be used")
    stated = sorted(data.provides & DERIVED)
    _require(not stated, f"provides names {', '.join(stated)}", "that follows from the data: leave it out")
    _admit_splits(data)
    for name, split in data.splits.items():
        _admit_values(data, name, split)
        _admit_labels(name, split)
    _admit_factors(data)
    _admit_precision(data)


def _require(holds: bool, found: str, remedy: str) -> None:
    if not holds:
        raise DataError(f"data: {found}; {remedy}")


def _admit_splits(data: Data) -> None:
    found = list(data.splits)
    _require(
        sorted(found) == sorted(SPLITS), f"the splits are {', '.join(found)}", f"they are {', '.join(SPLITS)}"
    )
    for name, split in data.splits.items():
        _admit_tensor(f"x of '{name}'", split.x)
        shape = tuple(split.x.shape)
        known = split.x.dtype in DTYPES
        _require(known, f"x of '{name}' is {split.x.dtype}", "use a floating-point or a whole-number type")
        _require(
            len(shape) > 1 and 0 not in shape,
            f"x of '{name}' has shape {shape}",
            "it is rows of values, not empty",
        )
        decoded = split.decode(split.x[:1])
        kept = decoded.is_floating_point() and decoded.shape == split.x[:1].shape
        _require(
            kept,
            f"decode of '{name}' gives {decoded.dtype} of shape {tuple(decoded.shape)} for one row",
            "it keeps the shape, in floating point",
        )
        usable = math.isfinite(split.scale) and split.scale != 0
        _require(usable, f"scale of '{name}' is {split.scale}", "it is what stored values are multiplied by")
    shapes = {name: tuple(split.x.shape[1:]) for name, split in data.splits.items()}
    one = len(set(shapes.values())) == 1
    _require(one, f"the shapes of a datum differ: {shapes}", "they are the same in every split")
    (event,) = set(shapes.values())
    image = "image" not in data.provides or len(event) == 3
    _require(image, f"a datum has shape {event}", "an image is channels, height, width")
    names = not data.columns or event == (len(data.columns),)
    _require(names, f"{len(data.columns)} columns are named, a datum has shape {event}", "name each one")


def _admit_tensor(what: str, found: object) -> None:
    tensor = isinstance(found, Tensor)
    _require(tensor, f"{what} is a {type(found).__name__}", "it is a torch tensor: torch.as_tensor makes one")
    assert isinstance(found, Tensor)
    plain = found.device.type == "cpu" and found.layout == torch.strided and not found.requires_grad
    _require(plain, f"{what} is not plain data in memory", "use .detach().cpu()")


def _admit_values(data: Data, name: str, split: Split) -> None:
    grey = data.support == "binary" and data.visit is not None and name == "train"
    lies, words = SUPPORTS["unit" if grey else data.support]
    place = _first(lambda x: ~lies(split.decode(x)), split.x)
    if place is not None:
        value = split.decode(split.x[place]).item()
        remedy = (
            f"support '{data.support}' is {words}: set scale, transform, or declare another support"
            if math.isfinite(value)
            else "fill or drop what is missing or infinite"
        )
        where = ", ".join(map(str, place))
        raise DataError(f"data: x[{where}] of '{name}'{_named(data, place[1:])} is {value:g}; {remedy}")


def _admit_labels(name: str, split: Split) -> None:
    if split.labels is None:
        return
    _admit_codes(f"labels of '{name}'", split.labels, (len(split),))


def _admit_codes(what: str, codes: Tensor, shape: tuple[int, ...]) -> None:
    """Whole numbers from 0 on, of one shape."""
    _admit_tensor(what, codes)
    _require(codes.dtype == torch.int64, f"{what} are {codes.dtype}", "use int64")
    _require(tuple(codes.shape) == shape, f"{what} have shape {tuple(codes.shape)}", f"it is {shape}")
    place = _first(lambda x: x < 0, codes)
    if place is not None:
        where = ", ".join(map(str, place))
        raise DataError(f"data: {what}: [{where}] is {codes[place].item()}; they are counted from 0")


def _admit_factors(data: Data) -> None:
    found = {name: split.factors for name, split in data.splits.items() if split.factors is not None}
    for name, factors in found.items():
        _admit_tensor(f"factors of '{name}'", factors)
        wide = factors.shape[1] if factors.dim() == 2 else 0
        names = len(data.factor_names) or wide
        _require(
            wide > 0, f"factors of '{name}' have shape {tuple(factors.shape)}", "they are rows of factors"
        )
        _admit_codes(f"factors of '{name}'", factors, (len(data.splits[name]), names))
    wide = len({factors.shape[1] for factors in found.values()}) <= 1
    _require(wide, "the number of factors differs between splits", "it is the same in every split")
    stray = bool(data.factor_names) and not found
    _require(not stray, "factor_names are given, factors are not", "give Split(..., factors=)")


def _admit_precision(data: Data) -> None:
    exact = all(split.x.dtype in SMALL for split in data.splits.values())
    if exact or data.support not in ("real", "unit"):
        return
    columns = coarse(torch.cat([split.x.double() * split.scale for split in data.splits.values()]))
    if columns:
        place = ", ".join(map(str, columns[0]))
        raise DataError(
            f"data: column [{place}]{_named(data, columns[0])} of x is too far from 0 for its spread: single precision "
            "would merge its values; subtract its mean, in double precision"
        )


def coarse(x: Tensor) -> list[tuple[int, ...]]:
    """The columns of x ``(N, *x)``, in double precision, whose values single precision does not tell apart well enough.

    Its step at the largest value is held against the standard deviation, and its step at the median against the range of the
    middle half, which no outlier widens.
    """
    rows = x.flatten(1)
    quarters = torch.tensor([0.25, 0.5, 0.75], dtype=rows.dtype)
    low, middle, high = rows[:: math.ceil(len(rows) / CHUNK)].quantile(quarters, 0)
    varies, centred = rows.amin(0) < rows.amax(0), low < high
    everywhere = ROUNDING * rows.abs().amax(0) > RESOLUTION * rows.std(0, correction=0)
    inside = ROUNDING * middle.abs() > RESOLUTION * (high - low)
    return _places(x, (varies & everywhere) | (centred & inside))


def remarks(data: Data) -> Iterator[str]:
    """What a reader of results on these data should know."""
    yield from data.notes
    if data.support in ("real", "unit"):
        yield from _remarks_on_columns(data, data.splits["train"].values)
    held = {
        "labels": [name for name, split in data.splits.items() if split.labels is not None],
        "factors": [name for name, split in data.splits.items() if split.factors is not None],
    }
    for what, names in held.items():
        if 0 < len(names) < len(SPLITS):
            yield f"{what} are in {' and '.join(names)} only: nothing uses them"
    for name, split in data.splits.items():
        yield from _remarks_on_labels(name, split)
    for name in SPLITS[1:]:
        shared, rows = shared_rows(data, name), len(data.splits[name])
        if shared:
            yield f"{shared} of {rows} rows of {name} equal one of train"


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


def atoms(x: Tensor) -> list[tuple[int, ...]]:
    """The columns of x ``(N, *x)`` that hold whole numbers only, or one value in a tenth of the rows or more.

    No continuous distribution has such columns, and no model's density on them is bounded.
    """
    rows = x.flatten(1)
    ordered = rows[:: math.ceil(len(rows) / CHUNK)].sort(0).values
    # Of n rows in order, a value in m of them stands at both ends of some stretch of m - 1 steps.
    step = max(FEW, math.ceil(RECURRING * len(ordered))) - 1
    recurs = (ordered[step:] == ordered[: max(0, len(ordered) - step)]).any(0)
    return _places(x, (rows == rows.round()).all(0) | recurs)


def remote(x: Tensor) -> list[tuple[int, ...]]:
    """The columns of x ``(N, *x)`` that are far from 0 for their spread, though not too far for single precision."""
    rows = x.flatten(1).double()
    varies = rows.amin(0) < rows.amax(0)
    return _places(x, varies & (rows.mean(0).abs() >= FAR * rows.std(0, correction=0)))


def shared_rows(data: Data, name: str) -> int:
    """How many rows of a split equal one of train."""
    train = set(row_keys(data.splits["train"].x))
    return sum(row in train for row in row_keys(data.splits[name].x))


def row_keys(x: Tensor) -> list[bytes]:
    """Something for each row that equal rows have in common, and no others."""
    return [row.tobytes() for row in x.flatten(1).contiguous().numpy()]


def repeated_rows(data: Data) -> int:
    """How many rows of train equal another one of train."""
    return sum(times for times in Counter(row_keys(data.splits["train"].x)).values() if times > 1)


def _first(bad: Callable[[Tensor], Tensor], x: Tensor) -> tuple[int, ...] | None:
    """Where the first bad value stands."""
    for start, rows in zip(count(0, CHUNK), x.split(CHUNK), strict=False):
        found = bad(rows)
        if bool(found.any()):
            row, *place = found.nonzero()[0].tolist()
            return (start + row, *place)
    return None


def _places(x: Tensor, columns: Tensor) -> list[tuple[int, ...]]:
    """The places of the columns that are marked, ``(D,)``, in the shape of a datum."""
    return [tuple(place) for place in columns.reshape(x.shape[1:]).nonzero().tolist()]


def _named(data: Data, place: tuple[int, ...]) -> str:
    return f" (column '{data.columns[place[0]]}')" if data.columns else ""


def _listed(data: Data, places: Sequence[tuple[int, ...]]) -> str:
    """Some columns in words: the first by name or place, and how many there are."""
    names = [data.columns[p[0]] if data.columns else ",".join(map(str, p)) for p in places[:SHOWN]]
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return f"column{'s' if len(places) > 1 else ''} {', '.join(names)}{more}"
