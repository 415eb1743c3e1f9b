"""The overview of a folder of published boards: what each asks, and what it found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lvmbench.results.answer import answer
from lvmbench.results.board import Board
from lvmbench.results.folder import rebuild
from lvmbench.results.markdown import escaped
from lvmbench.results.tables import RECORDS, write

OVERVIEW = "README.md"
HEAD = """# Leaderboards

What each board asks, and what it found. A folder has the suite that was run, every run with its status, every
figure, the tables and pictures made of these, and how to redo it. `lvmbench leaderboard FOLDER` reads
one by any metric, `lvmbench verify FOLDER` holds it to its records. This page is written by `.ci/boards`.

| board | what it asks | what it found | runs |
| :-- | :-- | :-- | :-- |
"""


def overview(folder: Path) -> str:
    """The page, from the boards in a folder."""
    boards = sorted(path.parent for path in folder.glob(f"*/{RECORDS}"))
    return HEAD + "".join(map(_row, boards))


def write_overview(folder: Path) -> None:
    """Write the page into the folder of the boards."""
    write(folder / OVERVIEW, overview(folder))


def _row(directory: Path) -> str:
    board, asked = rebuild(directory), question(directory / "suite.yaml")
    counts = ", ".join(f"{n} {status}" for status, n in board.counts.items())
    found = " ".join([*_claims(board), _answer(board)])
    name = f"[{escaped(directory.name)}]({directory.name}/leaderboard.md)"
    return f"| {name} | {escaped(asked)} | {escaped(found)} | {counts} |\n"


def question(suite: Path) -> str:
    """What a suite asks: the first sentence of the comment that its file begins with.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "suite.yaml"
    >>> _ = path.write_text("# Which prior is best?\\n# On digits. Small.\\nsuite: mine\\n")
    >>> question(path)
    'Which prior is best?'
    """
    lines = suite.read_text(encoding="utf-8").splitlines() if suite.is_file() else []
    comment = " ".join(line.lstrip("# ") for line in _leading(lines))
    return re.split(r"(?<=[.?!])\s", comment, maxsplit=1)[0]


def _leading(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("#"):
            return
        yield line


def _claims(board: Board) -> list[str]:
    """How many of the suite's claims hold, do not hold and cannot be called."""
    if board.claims.empty:
        return []
    counts = Counter(str(verdict).partition(" (")[0] for verdict in board.claims["verdict"])
    holding, failing = counts.pop("holds", 0), counts.pop("does not hold", 0)
    said = [f"{failing} do{'es' * (failing == 1)} not"] * bool(failing)
    others = ", ".join([*said, *(f"{n} {verdict}" for verdict, n in counts.items())])
    return [f"{holding} of {len(board.claims)} claims hold{f' ({others})' if others else ''}."]


def _answer(board: Board) -> str:
    """The first sentence of what a board comes to, of its first table."""
    first, *others = answer(board)
    table = f"{first.table}: " if first.table else ""
    more = f" ({len(others)} more table{'s' * (len(others) > 1)})" if others else ""
    return f"{table}{first.sentences[0]}{more}"
