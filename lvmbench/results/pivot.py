"""A figure by two axes of a board: one down, one across."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from lvmbench.errors import UserError, nearest
from lvmbench.results.board import Board, as_json
from lvmbench.results.labels import as_text, label, labels
from lvmbench.results.sections import Section, cells

REST = "everything else"
"""The column that says what a block of rows has in common, where that differs between blocks."""


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
        rows, name = self._board, self.figure
        known = zip(
            cells(rows, name, f"{name}_low", f"{name}_high"), rows["seeds"], rows["status"], strict=True
        )
        texts = [text if seeds else str(status) for text, seeds, status in known]
        table = self._spread(pd.Series(texts, index=rows.index)).fillna("")
        return [self._section(str(rest), block) for rest, block in table.groupby(REST, sort=False)]

    def to_csv(self) -> str:
        """The means as csv; floats read back exactly."""
        return self.frame.to_csv(index=False, lineterminator="\n")

    def to_json(self) -> str:
        """An array with one object per row; what is missing is null."""
        return as_json(self.frame)

    def _section(self, rest: str, block: pd.DataFrame) -> Section:
        # what is empty in a whole column of a block is not of this block
        shown = block.drop(columns=REST).loc[:, (block.drop(columns=REST) != "").any()]
        columns = {str(name): values.tolist() for name, values in shown.items()}
        return Section(label([self.board.header(self.figure), rest]), columns, list(columns)[1:])

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
