"""The rules that every data set meets, whoever made it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lvmbench.data.columns import ROUNDING, coarse
from lvmbench.errors import DataError
from lvmbench.observation import lasting

if TYPE_CHECKING:
    from lvmbench.dataset import Data
    from lvmbench.split import Split

SPLITS = ("train", "validation", "test")
DTYPES = (
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.float32, torch.float64),
)
"""The types that values may be stored in."""
SMALL = (torch.bool, torch.uint8, torch.int8, torch.int16)
"""The types of which single precision holds every value."""
WHOLE = 2**24 - 1
"""The largest whole number below those that single precision rounds."""
LEVELS = 256
"""The most levels that data are said to have: as many as a byte holds."""
CHUNK = 1024
"""So many rows are decoded at a time, at most: few, as a process keeps what it once had of memory."""
VALUES = 2**21
"""So many values are decoded at a time, at most, if they are of more than one row."""


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
DERIVED = frozenset(
    {*SUPPORTS, "labels", "factors", "binary_factors", "log_prob", "complete", "whole", "levels", "sequence"}
)
"""The capabilities that follow from the data."""


def chunks(x: Tensor) -> tuple[Tensor, ...]:
    """Rows ``(N, ...)``, a few at a time."""
    parts: tuple[Tensor, ...] = x.split(max(1, min(CHUNK, VALUES // max(1, math.prod(x.shape[1:])))))
    return parts


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
        _admit_whole(name, split)
    _admit_gaps(data)
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
    steps = not data.sequence or len(event) > 1
    _require(
        steps, f"a sequence has shape {event}", "it is steps of vectors or of more: unsqueeze(-1) numbers"
    )
    named, what = (event[1:], "step") if data.sequence else (event, "datum")
    names = not data.columns or named == (len(data.columns),)
    _require(names, f"{len(data.columns)} columns are named, a {what} has shape {named}", "name each one")


def _admit_tensor(what: str, found: object) -> None:
    tensor = isinstance(found, Tensor)
    _require(tensor, f"{what} is a {type(found).__name__}", "it is a torch tensor: torch.as_tensor makes one")
    assert isinstance(found, Tensor)
    plain = found.device.type == "cpu" and found.layout == torch.strided and not found.requires_grad
    _require(plain, f"{what} is not plain data in memory", "use .detach().cpu()")


def _admit_values(data: Data, name: str, split: Split) -> None:
    grey = data.support == "binary" and data.visit is not None and name == "train"
    lies, words = SUPPORTS["unit" if grey else data.support]

    def strays(x: Tensor) -> Tensor:
        values = split.decode(x)
        return ~lies(values) if split.missing is None else ~(lies(values) | values.isnan())

    place = None if _has_none(strays, split.x) else _first(strays, split.x)
    if place is not None:
        value = split.decode(split.x[place]).item()
        where = ", ".join(map(str, place))
        remedy = _remedy(value, f"support '{data.support}' is {words}")
        raise DataError(f"data: x[{where}] of '{name}'{_named(data, place[1:])} is {value:g}; {remedy}")


def _has_none(strays: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether values in bytes have no stray among them, of which there are at most 256 kinds to look at."""
    if x.dtype != torch.uint8:
        return False
    fit = bytes((~strays(torch.arange(256, dtype=torch.uint8))).nonzero().flatten().tolist())
    return not any(part.numpy().tobytes().translate(None, fit) for part in chunks(x))


def _remedy(value: float, rule: str) -> str:
    """What to do about a value that may not be there."""
    if math.isnan(value):
        return "if it was not observed say so with Split(..., missing=math.nan), else fill or drop it"
    if math.isinf(value):
        return "fill or drop what is infinite"
    return f"{rule}: set scale, transform, or declare another support"


def _admit_gaps(data: Data) -> None:
    """Something was observed of each datum, and in training of each column.

    A visit would have to know of gaps.
    """
    if data.complete:
        return
    _require(
        data.visit is None, "there is a visit, and values that were not observed", "leave one of them out"
    )
    for name, split in data.splits.items():
        empty = torch.cat([split.unobserved(x).flatten(1).all(1) for x in chunks(split.x)]).nonzero()
        if len(empty):
            length = "sequence of length 0: " if data.sequence else ""
            row = empty[0].item()
            raise DataError(f"data: {length}nothing was observed of x[{row}] of '{name}'; drop it")
    train = data.splits["train"]
    seen = torch.stack([(~train.unobserved(x)).any(0) for x in chunks(train.x)]).any(0)
    empty = (~(seen.any(0) if data.sequence else seen)).nonzero()
    if len(empty):
        place = tuple(empty[0].tolist())
        where = ", ".join(map(str, place))
        raise DataError(
            f"data: nothing was observed in column [{where}]{_named(data, place)} of 'train'; drop it"
        )


def _admit_whole(name: str, split: Split) -> None:
    if split.whole is None:
        return
    _admit_tensor(f"whole of '{name}'", split.whole)
    values, whole = split.values, split.whole
    alike = whole.shape == values.shape and whole.is_floating_point()
    _require(
        alike,
        f"whole of '{name}' is {whole.dtype} of shape {tuple(whole.shape)}",
        "it is x in floating point",
    )
    agrees = bool(((whole == values) | (values.isnan() & whole.isfinite())).all())
    _require(
        agrees,
        f"whole of '{name}' differs from what was observed of x",
        "it is x, and finite where x is missing",
    )


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
    columns = coarse(torch.cat([events(data, split, torch.float64) for split in data.splits.values()]))
    if columns:
        place = ", ".join(map(str, columns[0]))
        raise DataError(
            f"data: column [{place}]{_named(data, columns[0])} of x is too far from 0 for its spread: single "
            "precision would merge its values; subtract its mean, in double precision"
        )


def events(data: Data, split: Split, dtype: torch.dtype | None = None) -> Tensor:
    """The values of each datum, or of each step of sequences, ``(N, *x)`` or ``(steps, *frame)``."""
    values = split.decode(split.x, dtype)
    return values[lasting(values)] if data.sequence else values


def levels(data: Data) -> int:
    """How many equally spaced values, from 0 on, data can have.

    0 where that is not known, or too many.
    """
    if data.support == "binary":
        return 2
    if data.visit is not None or data.support == "real":
        return 0
    found = _shades(data) if data.support == "unit" else round(data.range[1]) + 1
    return found if 2 <= found <= LEVELS else 0


def _shades(data: Data) -> int:
    """The levels from 0 to 1 of data that are stored as whole numbers, with one over the largest as scale."""
    splits = data.splits.values()
    whole = not any(split.x.is_floating_point() for split in splits)
    (scale, *others) = {split.scale for split in splits}
    steps = round(1 / scale)
    return steps + 1 if whole and not others and math.isclose(steps * scale, 1) else 0


def _first(bad: Callable[[Tensor], Tensor], x: Tensor) -> tuple[int, ...] | None:
    """Where the first bad value stands."""
    start = 0
    for rows in chunks(x):
        found = bad(rows)
        if bool(found.any()):
            row, *place = found.nonzero()[0].tolist()
            return (start + row, *place)
        start += len(rows)
    return None


def _named(data: Data, place: tuple[int, ...]) -> str:
    return f" (column '{data.columns[place[-1]]}')" if data.columns else ""
