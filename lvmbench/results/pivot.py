"""A figure by two axes of a board: one down, one across."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from lvmbench.errors import UserError, nearest
from lvmbench.results.board import Board
from lvmbench.results.labels import as_text, label, labels
from lvmbench.results.sections import Section, cells
from lvmbench.results.tables import as_csv, as_json

REST = "everything else"
"""The column that says what a block of rows has in common, where that differs between blocks."""


@dataclass(frozen=True, eq=False)
class Block:
    """A figure by two axes, everything else being the same.

    Arguments:
        rest: What the rows of the block have in common, where that differs between blocks.
        texts: Means with intervals, or why there is none; the index is one axis, the columns the other.
        means: The means over seeds.
    """

    rest: str
    texts: pd.DataFrame
    means: pd.DataFrame


@dataclass(frozen=True)
class Pivot:
    """A figure of a board, by one axis down and another across.

    Arguments:
        board: The board.
        rows: The axis down: ``dataset``, a kind of component, or a setting.
        columns: The axis across.
        figure: The figure, as a column of the board's frame is called.

    Nothing is averaged: where the axes leave something open, there is a block for each choice of it.
    """

    board: Board
    rows: str
    columns: str
    figure: str

    @classmethod
    def of(cls, board: Board, rows: str, columns: str) -> Pivot:
        """The figure by which a board is ranked; raises `UserError` for what is no axis of it."""
        axes = ["dataset", *board.names]
        for option, axis in (("--rows", rows), ("--columns", columns)):
            if axis not in axes:
                raise UserError(
                    f"{option} {axis}: nothing of that name is on this board{nearest(axis, axes)}"
                )
        if rows == columns:
            raise UserError(f"--rows and --columns are both {rows}; give two different ones")
        if board.metric is None:
            raise UserError("--rows and --columns: this board ranks by nothing; say which figure by --metric")
        return cls(board, rows, columns, board.metric)

    @property
    def frame(self) -> pd.DataFrame:
        """The mean over seeds: one row for each block and value of the axis down."""
        return self._spread(self._board[self.figure])

    @property
    def sections(self) -> list[Section]:
        """The same as text with intervals, a section for each block that has a figure;
        a combination without one says why.
        """
        return [self._section(block) for block in self.blocks]

    @property
    def blocks(self) -> list[Block]:
        """The blocks that have a figure, each with what it shows of its own rows and columns."""
        rows, name = self._board, self.figure
        known = zip(
            cells(rows, name, f"{name}_low", f"{name}_high"), rows["seeds"], rows["status"], strict=True
        )
        texts = [text if seeds else str(status) for text, seeds, status in known]
        spread = self._spread(pd.Series(texts, index=rows.index)).fillna("")
        shown = {str(rest): _block(part, self.rows) for rest, part in spread.groupby(REST, sort=False)}
        means = {str(rest): part.set_index(self.rows) for rest, part in self.frame.groupby(REST, sort=False)}
        return [Block(rest, own, means[rest].loc[own.index, own.columns]) for rest, own in shown.items()]

    def to_csv(self) -> str:
        """The means as csv; floats read back exactly."""
        return as_csv(self.frame)

    def to_json(self) -> str:
        """An array with one object per row; what is missing is null."""
        return as_json(self.frame)

    def _section(self, block: Block) -> Section:
        columns = {str(name): values.tolist() for name, values in block.texts.reset_index().items()}
        return Section(label([self.board.header(self.figure), block.rest]), columns, list(columns)[1:])

    @cached_property
    def _board(self) -> pd.DataFrame:
        """The rows of the board, with the axes as text and what they leave open, where that has a figure."""
        frame, axes = self.board.frame, (self.rows, self.columns)
        left = [name for name in ("dataset", "scale", *self.board.names) if name not in axes]
        left = [name for name in left if frame[name].nunique(dropna=False) > 1]
        rest = labels(frame, left) if left else pd.Series("", index=frame.index)
        frame = frame.assign(**{axis: as_text(frame[axis]) for axis in axes}, **{REST: rest})
        return frame[frame[self.figure].notna().groupby(frame[REST]).transform("any")]

    def _spread(self, values: pd.Series[Any]) -> pd.DataFrame:
        """Values of the rows in blocks, one axis down, the other across, each in the order of the board."""
        rows = self._board.assign(value=values)
        order = list(dict.fromkeys(zip(rows[REST], rows[self.rows], strict=True)))
        table = rows.pivot(index=[REST, self.rows], columns=self.columns, values="value")
        spread = table.loc[order, list(dict.fromkeys(rows[self.columns]))].reset_index()
        return spread.rename_axis(columns=None)


def _block(part: pd.DataFrame, rows: str) -> pd.DataFrame:
    """The texts of one block; what is empty in a whole column of it is not of this block."""
    texts = part.drop(columns=REST).set_index(rows)
    return texts.loc[:, (texts != "").any()]
