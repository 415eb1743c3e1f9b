"""Effects and interactions as text, to be read before the board that they are of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from lvmbench.errors import UserError
from lvmbench.results.board import Board
from lvmbench.results.effects import INCONCLUSIVE, effects, interactions
from lvmbench.results.grid import axes
from lvmbench.results.labels import as_text, label, table_name
from lvmbench.results.sections import FEW, Section, cells
from lvmbench.results.tables import as_csv, as_json

_NUMBERS = ("difference", "beyond the sum", "better in", "seeds", "needed")
_TABLE = ["dataset", "scale"]
HOW = (
    "Everything else being equal: the mean over the combinations that have both with every seed, paired by "
    "seed, ± half the width of its 95% t interval. Verdicts allow for all rows of the table (Holm, alpha "
    "{alpha:g}); with as many seeds as are needed such a difference is called in 4 of 5 cases."
)
HOW_PAIRS = (
    "What a pair of parts brings beyond the sum of what each brings by itself, found and judged as effects "
    "are, with limits for all {count} pairs; shown are those that are told apart."
)


@dataclass(frozen=True, eq=False)
class Effects:
    """What the parts of a board's grid are worth, and which pairs of them are worth more than their sum.

    Arguments:
        board: The board.
    """

    board: Board

    @cached_property
    def parts(self) -> pd.DataFrame:
        """As `effects` gives them."""
        return effects(self.board)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """As `interactions` gives them."""
        return interactions(self.board)

    @property
    def frame(self) -> pd.DataFrame:
        """Parts and then pairs."""
        return pd.concat([self.parts, self.pairs], ignore_index=True)

    @property
    def sections(self) -> list[Section]:
        """For each table of the board its parts, and the pairs that are told apart where there are any."""
        several = len(self.parts[_TABLE].drop_duplicates()) > 1
        return [
            section
            for place, parts in self.parts.groupby(_TABLE, sort=False)
            for section in self._of_table(str(place[0]), str(place[1]), parts, several)
        ]

    def require(self) -> None:
        """Raise `UserError` where there is nothing to say, as the board has no grid."""
        if self.board.metric is None:
            raise UserError("this board ranks by nothing; say which figure by --metric")
        if self.parts.empty:
            raise UserError(
                "no effects: in no table was a part exchanged in two combinations or more with everything "
                "else equal and every seed measured"
            )

    def to_csv(self) -> str:
        """Parts and pairs as csv; floats read back exactly."""
        return as_csv(self.frame)

    def to_json(self) -> str:
        """An array with one object per part and pair; what is missing is null."""
        return as_json(self.frame)

    def _of_table(self, dataset: str, scale: str, parts: pd.DataFrame, several: bool) -> Iterator[Section]:
        title = f"Effects on {self.board.header(str(self.board.metric))}"
        title = label([title, table_name(dataset, scale)]) if several else title
        pairs = self.pairs[(self.pairs["dataset"] == dataset) & (self.pairs["scale"] == scale)]
        notes = [
            HOW.format(alpha=self.board.alpha),
            *_left_out(parts),
            *_other_estimators(parts),
            *self._alone(dataset, scale, parts),
            *_none_apart(pairs),
        ]
        yield Section(title, _columns(self._sorted(parts), "difference"), _NUMBERS, notes=notes)
        apart = pairs[pairs["verdict"] != INCONCLUSIVE].sort_values("p", kind="stable")
        if not apart.empty:
            notes = [HOW_PAIRS.format(count=len(pairs))]
            notes += [f"{len(apart) - FEW} more are in --format csv."] if len(apart) > FEW else []
            yield Section(f"{title}: pairs", _columns(apart[:FEW], "beyond the sum"), _NUMBERS, notes=notes)

    def _sorted(self, parts: pd.DataFrame) -> pd.DataFrame:
        """The settings of each axis with the best first."""
        rising = self.board.figures[str(self.board.metric)].better == "lower"
        by_axis = (own for _, own in parts.groupby("axis", sort=False))
        return pd.concat([own.sort_values("difference", ascending=rising) for own in by_axis])

    def _alone(self, dataset: str, scale: str, parts: pd.DataFrame) -> Iterator[str]:
        """The settings that no effect is of."""
        runs = self.board.runs
        runs = runs[(runs["dataset"] == dataset) & (runs["scale"] == scale)]
        alone = []
        for axis in axes(runs, self.board.names):
            own, there = parts[parts["axis"] == axis], dict.fromkeys(as_text(runs[axis]))
            left = [name for name in there if name not in {*own["setting"], *own["against"]}]
            alone += [f"{axis} {', '.join(left)}"] if left and len(there) > 1 else []
        if alone:
            yield f"Never met another with everything else equal: {'; '.join(alone)}."


def _left_out(parts: pd.DataFrame) -> Iterator[str]:
    if (parts["left_out"] != "").any():
        yield "Left out are pairs of combinations of which one has no result."


def _other_estimators(parts: pd.DataFrame) -> Iterator[str]:
    names = ", ".join(parts.loc[parts["other_estimators"] > 0, "setting"])
    if names:
        yield f"Estimators follow from the parts, and a part of these effects may be theirs: {names}."


def _none_apart(pairs: pd.DataFrame) -> Iterator[str]:
    if len(pairs) and (pairs["verdict"] == INCONCLUSIVE).all():
        yield f"No pair of parts is told apart from the sum of what the two are worth ({len(pairs)} tested)."


def _columns(found: pd.DataFrame, difference: str) -> dict[str, list[str]]:
    """The rows as text."""
    better = [f"{n} of {of}" for n, of in zip(found["better_in"], found["pairs"], strict=True)]
    needed = [_needed(*row) for row in zip(found["verdict"], found["needed"], strict=True)]
    columns = {
        "axis": found["axis"].tolist(),
        "setting": found["setting"].tolist(),
        "against": found["against"].tolist(),
        difference: cells(found, "difference", "low", "high"),
        "better in": better,
        "left out": found["left_out"].tolist() if (found["left_out"] != "").any() else [],
        "seeds": found["seeds"].astype(str).tolist(),
        "needed": needed if any(needed) else [],
        "verdict": found["verdict"].tolist(),
    }
    return {head: texts for head, texts in columns.items() if texts}


def _needed(verdict: str, seeds: int | None) -> str:
    """About how many seeds would tell, where the verdict needs more."""
    if verdict != INCONCLUSIVE:
        return ""
    return "more" if pd.isna(seeds) else str(seeds)
