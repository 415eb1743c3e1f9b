"""A against B: two selections of runs, paired by everything else, by seed and by test datum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lvmbench.errors import UserError
from lvmbench.results.board import Board
from lvmbench.results.comparison import Comparison, seeds_to_call, told_apart
from lvmbench.results.figures import COSTS, Figures, find_figure
from lvmbench.results.grid import Grid, Whole, axes, counted
from lvmbench.results.labels import as_text, label
from lvmbench.results.per_datum import tensor_name
from lvmbench.results.scales import scales
from lvmbench.results.selection import chosen, conditions, parsed
from lvmbench.results.tables import as_csv, as_json, asked
from lvmbench.results.tidy import tidy

Array = npt.NDArray[np.float64]
Reader = Callable[[str, str, str], Array | None]
"""From the key of a run, an evaluator and the name of a figure to that figure of each datum, where kept."""
BETTER, WORSE, HIGHER, LOWER, EQUAL, INCONCLUSIVE = (
    "better",
    "worse",
    "higher",
    "lower",
    "equal",
    "inconclusive",
)
REGIONS: Mapping[str, tuple[float, str]] = {
    "nats": (0.1, "a factor of 1.1 in the density of a datum"),
    "bits/dim": (0.01, "a hundredth of a bit for each number of a datum"),
    "fraction": (0.01, "one datum of a hundred"),
    "units": (0.5, "half a unit"),
}
"""By unit: differences up to this count as equal, and why."""
SHARE = 0.05
"""The share of B's figure that counts as equal in any other unit."""
SURE = 0.95
"""How probable it must be that two are equal for them to be called so."""
COLUMNS = (
    "dataset",
    "scale",
    "figure",
    "unit",
    "direction",
    "difference",
    "low",
    "high",
    "p",
    "better",
    "equal",
    "worse",
    "equal_within",
    "pairs",
    "left_out",
    "seeds",
    "data",
    "error_of_seeds",
    "error_of_data",
    "needed",
    "verdict",
)


@dataclass(frozen=True)
class Side:
    """A selection of runs: as it is written, its conditions, and the keys of its runs."""

    text: str
    where: Mapping[str, str]
    keys: frozenset[str]

    @classmethod
    def of(cls, records: pd.DataFrame, text: str, called: str, beside: str) -> Side:
        """Select runs, beside another selection; raises `UserError`, which names what they were called, where
        none is left.
        """
        where = conditions(records, text, called, beside)
        left = chosen(records, where, called, exact=True)
        return cls(text, dict(parsed(condition, called) for condition in where), frozenset(left["key"]))


@dataclass(frozen=True, eq=False)
class Compared:
    """What two selections of runs differ by; as text it is a paragraph.

    Arguments:
        board: The board that they are on.
        a: What is compared, in words.
        b: What it is held against.
        by: The axes in which they differ.
        frame: One row for each table and figure, the leading figure first: ``difference`` is a - b with its
            95% interval from ``low`` to ``high`` and two-sided ``p``; the probabilities that a is ``better``,
            ``equal``, that is within ``equal_within``, and ``worse``; of how many ``pairs`` of combinations,
            how many were ``left_out`` and why, how many ``seeds`` and test ``data``, the standard errors that
            these leave, about how many seeds would be ``needed`` to call it, and the ``verdict``. Where the
            figure has no better direction, better is higher.
        reason: Why differences of the leading figure that are no larger count as equal.
    """

    board: Board
    a: str
    b: str
    by: Sequence[str]
    frame: pd.DataFrame
    reason: str

    def __str__(self) -> str:
        from lvmbench.results.compare_sections import paragraph

        return paragraph(self)

    def to_csv(self) -> str:
        """The rows as csv; floats read back exactly."""
        return as_csv(self.frame)

    def to_json(self) -> str:
        """An array with one object per row; what is missing is null."""
        return as_json(self.frame)


def compare(
    board: Board,
    measurements: pd.DataFrame,
    a: str,
    b: str,
    *,
    figures: Sequence[str] = (),
    equal_within: float | None = None,
    per_datum: Reader | None = None,
) -> Compared:
    """Hold one selection of runs against another.

    Combinations are paired that are alike in all but the axes that both selections name, and only where both
    have every seed; their differences are averaged, for each seed, and where figures of single data are kept
    for each datum. A selection that is several settings counts with the mean of them.

    Arguments:
        board: The board, whose ranking figure leads.
        measurements: Long, one row per figure of a run.
        a: A selection, such as ``prior=vamp``, or the parts of a row.
        b: Another one.
        figures: Which figures besides that which leads; by default those that the board shows.
        equal_within: How large a difference of the leading figure counts as equal, instead of `REGIONS`.
        per_datum: Reads figures of single data.

    Raises `UserError` where a selection is none, the two have runs in common, or they never meet.
    """
    if board.metric is None:
        raise UserError("this board ranks by nothing; say which figure to compare by --metric")
    records = asked(board.records)
    one, other = Side.of(records, a, "A", b), Side.of(records, b, "B", a)
    known = tidy(board.records, measurements, board.split).figures
    wanted = [find_figure(name, known) for name in figures] or _directed(board)
    pairing = _Pairing(board, known, one, other, per_datum)
    leading = list(pairing.rows(board.metric, equal_within))
    if not leading:
        raise UserError(f"A and B never meet with everything else equal and every seed{pairing.hint}")
    others = [row for name in dict.fromkeys(wanted) if name != board.metric for row in pairing.rows(name)]
    rows = [*_judged(leading, board.alpha), *_judged(others, board.alpha)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"needed": "Int64", "data": "Int64"})
    return Compared(board, *pairing.called, pairing.by, frame, _reason(leading[0]["unit"], equal_within))


def _directed(board: Board) -> list[str]:
    """The figures that a board shows and that say what is better, without the costs of training: seeds that
    trained together share these.
    """
    return [name for name in board.headline if board.figures[name].better != "neither" and name not in COSTS]


class _Pairing:
    """The runs of two sides, paired by what they leave open."""

    def __init__(self, board: Board, known: Figures, a: Side, b: Side, per_datum: Reader | None) -> None:
        _expect_apart(a, b)
        self.known, self.names, self.read = known, board.names, per_datum
        runs = board.runs[board.runs["key"].isin(a.keys | b.keys)]
        in_a = runs["key"].isin(a.keys)
        self.by = _by(runs, in_a, board.names, {*a.where} & {*b.where})
        settings = zip(*(as_text(runs[name]) for name in self.by), strict=True)
        self.runs = runs.assign(setting=list(map(label, settings)), in_a=in_a)

    @property
    def called(self) -> tuple[str, str]:
        """What the two sides are called."""
        a, b = (
            " or ".join(dict.fromkeys(self.runs.loc[side, "setting"]))
            for side in (self.runs["in_a"], ~self.runs["in_a"])
        )
        return a, b

    @property
    def hint(self) -> str:
        """What keeps the two sides apart, as far as it is known."""
        endings = [status for status in self.runs["status"] if status != "ok"]
        return f"; of their runs {len(endings)} are not ok: {', '.join(dict.fromkeys(endings))}" * bool(
            endings
        )

    def rows(self, figure: str, equal_within: float | None = None) -> Iterator[dict[str, Any]]:
        """What a figure says of each table in which the two sides meet."""
        runs = self.runs.assign(scale=scales(self.runs, self.known, figure))
        for (dataset, scale), own in runs.groupby(["dataset", "scale"]):
            a, b = (list(dict.fromkeys(own.loc[side, "setting"])) for side in (own["in_a"], ~own["in_a"]))
            grid = Grid(own, figure, self.names, own["setting"], self.by)
            found = grid.whole([*a, *b])
            if a and b and found.cells.any():
                place = {"dataset": dataset, "scale": scale, "figure": figure}
                yield {**place, **self._row(grid, figure, found, a, b, equal_within)}

    def _row(
        self, grid: Grid, figure: str, found: Whole, a: list[str], b: list[str], equal_within: float | None
    ) -> dict[str, Any]:
        unit, direction = self.known[figure].unit, self.known[figure].better
        compared = self._compared(grid, figure, found, len(a), [*a, *b])
        theirs = float(found.values[len(a) :].mean())
        region = _region(unit, theirs, equal_within)
        return {
            "unit": unit,
            "direction": direction,
            "pairs": int(found.cells.sum()),
            "left_out": counted(grid.left_out([*a, *b], found)),
            "equal_within": region,
            **_told(compared, region, direction),
            "found": compared,
        }

    def _compared(
        self, grid: Grid, figure: str, found: Whole, first: int, settings: Sequence[str]
    ) -> Comparison:
        """So many settings that come first, less the others: by datum where all have figures of these."""
        each = [self._data(grid, figure, found, setting) for setting in settings]
        sizes = {None if values is None else values.shape[-1] for values in each}
        if None in sizes or len(sizes) > 1 or sizes == {1}:
            ours, theirs = (side.mean(axis=(0, 1)) for side in np.split(found.values, [first]))
            return Comparison.by_seed(ours - theirs)
        whole = np.array(each).mean(axis=1)
        return Comparison.by_seed_and_datum(whole[:first].mean(axis=0) - whole[first:].mean(axis=0))

    def _data(self, grid: Grid, figure: str, found: Whole, setting: str) -> Array | None:
        """A figure of each datum, ``(B, S, N)``; none where it was not kept for all runs of a setting."""
        keys, values = grid.of("key", setting, found), grid.of(figure, setting, found)
        rows = [self._kept(figure, *run) for run in zip(keys.flat, values.flat, strict=True)]
        sizes = {None if row is None else len(row) for row in rows}
        return None if None in sizes or len(sizes) > 1 else np.array(rows).reshape(*keys.shape, -1)

    def _kept(self, figure: str, key: str, value: float) -> Array | None:
        """A figure of each datum of a run, where the figure is the mean of what was kept."""
        it = self.known[figure]
        name = tensor_name(it.metric, it.variant, it.method)
        each = self.read(key, it.evaluator, name) if self.read else None
        return each if each is not None and np.isclose(each.mean(), value, rtol=1e-4, atol=1e-6) else None


def _expect_apart(a: Side, b: Side) -> None:
    if a.keys == b.keys:
        raise UserError(f"A and B are the same {len(a.keys)} runs: '{a.text}' and '{b.text}'")
    if common := len(a.keys & b.keys):
        raise UserError(
            f"A and B have {common} runs in common; '{a.text}' and '{b.text}' must exclude each other"
        )
    if "dataset" in a.where and a.where["dataset"] != b.where.get("dataset"):
        raise UserError("A and B are compared on the same data; choose these by --where dataset=NAME")


def _by(runs: pd.DataFrame, in_a: pd.Series[bool], names: Sequence[str], named: set[str]) -> list[str]:
    """The axes that two sides differ in, of those that both name."""
    apart = [
        n for n in names if n in named and {*as_text(runs.loc[in_a, n])} != {*as_text(runs.loc[~in_a, n])}
    ]
    if not apart:
        raise UserError(
            "A and B name no part or setting in which they differ; write the same ones for both, as in "
            "prior=vamp and prior=mixture"
        )
    return [name for name in axes(runs, names) if name in apart] or apart


def _told(found: Comparison, region: float, direction: str) -> dict[str, Any]:
    """What a comparison says, as columns."""
    chances = found.chances(region)
    sides = (
        {} if chances is None else {"better": chances.above, "equal": chances.within, "worse": chances.below}
    )
    if chances is not None and direction == "lower":
        sides |= {"better": chances.below, "worse": chances.above}
    errors = {"error_of_seeds": found.of_seeds, "error_of_data": found.of_data if found.data else None}
    known = {"difference": found.difference, "low": found.low, "high": found.high, "p": found.p}
    return {**known, **sides, "seeds": found.n, "data": found.data, **(errors if found.n > 1 else {})}


def _judged(rows: list[dict[str, Any]], alpha: float) -> Iterator[dict[str, Any]]:
    """The rows with their verdicts, by Holm's limits for all of them."""
    told = told_apart([row["found"] for row in rows], alpha)
    for row, apart in zip(rows, told, strict=True):
        verdict = _verdict(row, bool(apart))
        level = 1 - alpha / len(rows)
        needed = seeds_to_call(row["found"], level) if verdict == INCONCLUSIVE else None
        yield {**row, "needed": needed, "verdict": verdict}


def _verdict(row: Mapping[str, Any], told: bool) -> str:
    if row.get("equal", 0.0) >= SURE:
        return EQUAL
    if not told:
        return INCONCLUSIVE
    above = row["difference"] > 0
    if row["direction"] == "neither":
        return HIGHER if above else LOWER
    return BETTER if above == (row["direction"] == "higher") else WORSE


def _region(unit: str, theirs: float, equal_within: float | None) -> float:
    """Differences up to this count as equal."""
    if equal_within is not None:
        return equal_within
    return REGIONS[unit][0] if unit in REGIONS else SHARE * abs(theirs)


def _reason(unit: str, equal_within: float | None) -> str:
    if equal_within is not None:
        return "as asked for"
    return REGIONS[unit][1] if unit in REGIONS else f"{SHARE:.0%} of what it is held against"
