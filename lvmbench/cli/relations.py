"""What ``show`` says of a component's relations:
what it goes with, what it does not and why, and the boards it is on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from lvmbench.checks.contract import BUILT
from lvmbench.checks.partners import Bench
from lvmbench.errors import Unavailable
from lvmbench.registry.catalogue import Catalogue, Entry

BOARDS = ("leaderboards", "lvmbench-results")


def goes_with(entry: Entry, catalogue: Catalogue) -> Iterator[tuple[str, list[str], list[str]]]:
    """For each other kind: the names that some combination holds together with this component,
    and those that none does.
    """
    if entry.kind not in BUILT:
        return
    bench = Bench(catalogue)
    for kind in (k for k in BUILT if k != entry.kind):
        others = catalogue.entries(kind)
        fits = [other.name for other in others if bench.together(entry, other)]
        rest = [f"{other.name} ({_why(entry, other)})" for other in others if other.name not in fits]
        yield kind, fits, rest


def _why(one: Entry, other: Entry) -> str:
    """What the two require that no combination of both provides, as far as they declare it."""
    try:
        pairs = [(e, sorted(e.load().requires)) for e in (one, other)]
    except Unavailable:
        return "it cannot be used"
    said = [f"{e.name} requires {', '.join(needed)}" for e, needed in pairs if needed]
    return "; ".join(said) or "no combination of both was found"


def boards(entry: Entry) -> list[str]:
    """The boards below the current folder that have a run with this component."""
    if entry.kind not in (*BUILT, "dataset"):
        return []

    def has(path: Path) -> bool:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            return any((row.get(entry.kind) or "").partition("[")[0] == entry.name for row in rows)

    paths = (path for folder in BOARDS for path in sorted(Path(folder).glob("*/records.csv")))
    return [str(path.parent) for path in paths if has(path)]
