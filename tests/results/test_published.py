"""Every published leaderboard is the one that its own records give."""

import functools
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from lvmbench.results.folder import rebuild
from lvmbench.results.markdown import to_markdown
from lvmbench.results.overview import OVERVIEW, overview, question

PUBLISHED = sorted(path.parent for path in Path(__file__).parents[2].glob("leaderboards/*/records.csv"))
rebuilt = functools.cache(rebuild)
NONE = [pytest.param(None, id="none", marks=pytest.mark.skip(reason="no leaderboard is published yet"))]


@pytest.mark.parametrize("directory", PUBLISHED or NONE, ids=lambda path: path.name)
def test_the_table_is_made_from_the_records(directory, tmp_path):
    board = rebuilt(directory)
    (tmp_path / "leaderboard.csv").write_text(board.to_csv(), encoding="utf-8")
    stored, made = (pd.read_csv(folder / "leaderboard.csv") for folder in (directory, tmp_path))
    assert_frame_equal(made, stored, rtol=1e-9)
    assert to_markdown(board) == (directory / "leaderboard.md").read_text(encoding="utf-8")


def test_the_overview_is_made_from_the_boards(monkeypatch):
    monkeypatch.setattr("lvmbench.results.overview.rebuild", rebuilt)
    folder = Path(__file__).parents[2] / "leaderboards"
    assert (folder / OVERVIEW).read_text(encoding="utf-8") == overview(folder)


def test_a_suite_without_a_comment_asks_nothing(tmp_path):
    assert question(tmp_path / "suite.yaml") == ""
    (tmp_path / "suite.yaml").write_text("suite: mine\n# Not this.\n")
    assert question(tmp_path / "suite.yaml") == ""
