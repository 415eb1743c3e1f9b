"""What a comparison says: a paragraph in words, and a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from lvmbench.results.compare import EQUAL, INCONCLUSIVE, Compared
from lvmbench.results.labels import label, table_name
from lvmbench.results.markdown import escaped, sections_to_markdown
from lvmbench.results.sections import Section, cells

_NUMBERS = ("difference", "better", "equal", "worse", "within", "pairs", "seeds", "data", "needed")
BY_DATUM = (
    "Paired by seed and test datum: intervals and probabilities are for other seeds and other test data, by "
    "the errors that both leave, two independent Student t (Behrens and Fisher)."
)
BY_SEED = (
    "Figures without a number of data are paired by seed alone, as their values of single data are not at "
    "hand: what is said of them is about other seeds with the same test data (Student t)."
)
HOLM = (
    "Verdicts on the first figure allow for all its rows, those on other figures for all of theirs (Holm, "
    "alpha {alpha:g}); with as many seeds as are needed such a difference is called in 4 of 5 cases."
)


def paragraph(found: Compared) -> str:
    """A comparison in words, by the figure that leads."""
    leading = found.frame[found.frame["figure"] == found.board.metric]
    first = leading.iloc[0]
    region = f"Equal is what differs by no more than {first['equal_within']:.2g}"
    return " ".join(
        [
            f"{found.a} against {found.b}, {_over(first)}.",
            *(_sentences(found, row) for _, row in leading.iterrows()),
            f"{region}{_unit(first)}: {found.reason}.",
        ]
    )


def comparison_section(found: Compared) -> Section:
    """A comparison as a table, one row for each data set and figure."""
    frame = found.frame
    metrics = zip(map(found.board.header, frame["figure"]), frame["scale"], strict=True)
    needed = ["" if pd.isna(n) else str(n) for n in frame["needed"]]
    columns = {
        "dataset": frame["dataset"].tolist() if frame["dataset"].nunique() > 1 else [],
        "metric": list(map(label, metrics)),
        "difference": cells(frame, "difference", "low", "high"),
        **{name: [_chance(p) for p in frame[name]] for name in ("better", "equal", "worse")},
        "within": [f"{region:.2g}" for region in frame["equal_within"]],
        "pairs": frame["pairs"].astype(str).tolist(),
        "seeds": frame["seeds"].astype(str).tolist(),
        "data": ["–" if pd.isna(n) else str(n) for n in frame["data"]],
        "needed": needed if any(needed) else [],
        "verdict": frame["verdict"].tolist(),
    }
    filled = {head: texts for head, texts in columns.items() if texts}
    return Section(f"{found.a} against {found.b}", filled, _NUMBERS, notes=list(_notes(found)))


def comparison_to_markdown(found: Compared) -> str:
    """The paragraph and the table as markdown."""
    return f"{escaped(paragraph(found))}\n\n{sections_to_markdown([comparison_section(found)])}"


def _notes(found: Compared) -> Iterator[str]:
    known = found.frame["data"].notna()
    yield from [BY_DATUM] * bool(known.any()) + [BY_SEED] * bool(not known.all())
    yield HOLM.format(alpha=found.board.alpha)


def _over(row: pd.Series[Any]) -> str:
    """What a comparison rests on."""
    pairs, seeds = int(row["pairs"]), int(row["seeds"])
    said = [
        "everything else being equal"
        if pairs == 1
        else f"in {pairs} pairs of combinations that are otherwise alike",
        f"{seeds} seed{'s' * (seeds != 1)}",
        *([] if pd.isna(row["data"]) else [f"{row['data']} test data"]),
    ]
    left_out = f" (left out: {row['left_out']})" if row["left_out"] else ""
    return f"{said[0]}{left_out}, with {' and '.join(said[1:])}"


def _sentences(found: Compared, row: pd.Series[Any]) -> str:
    """What was found on one table, how probable what is, and what follows."""
    place, header = table_name(row["dataset"], row["scale"]), found.board.called(row["figure"])
    by = f"{abs(row['difference']):.3g}{_unit(row)} {'higher' if row['difference'] > 0 else 'lower'}"
    if pd.isna(row["low"]):
        return f"On {place} {header} is {by}; one seed says nothing of others."
    chances = ", ".join(f"{name} {_chance(row[name])}" for name in ("better", "equal", "worse"))
    interval = f"95% interval {row['low']:.3g} to {row['high']:.3g}"
    return f"On {place} {header} is {by} ({interval}); probability {chances}. {_called(found, row)}"


def _called(found: Compared, row: pd.Series[Any]) -> str:
    """The verdict, as a sentence."""
    if row["verdict"] == EQUAL:
        return "The two are equal in practice."
    if row["verdict"] != INCONCLUSIVE:
        return f"{found.a} is {row['verdict']}."
    if pd.isna(row["needed"]):
        return "That is inconclusive, and no number of seeds can be told that would call it."
    more = int(row["needed"] - row["seeds"])
    return f"That is inconclusive (needs about {row['needed']} seeds" + f", {more} more" * (more > 0) + ")."


def _unit(row: pd.Series[Any]) -> str:
    return f" {row['unit']}" if row["unit"] else ""


def _chance(p: float) -> str:
    """A probability to two digits, never rounded to certainty.

    >>> _chance(0.123), _chance(0.9999), _chance(0.0001)
    ('0.12', '>0.99', '<0.01')
    """
    if pd.isna(p):
        return "–"
    return "<0.01" if p < 0.005 else ">0.99" if p > 0.995 else f"{p:.2f}"
