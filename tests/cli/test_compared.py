"""The commands that say what parts are worth, and whether one is better than another."""

import json
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from tests.results.test_promises import board_of


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A board of three priors, the last of which is clearly better, and two posteriors; without a store."""
    values = np.random.default_rng(0).normal(-90, 0.1, (3, 2, 4)) + [[[0]], [[0]], [[2]]]
    board, measurements = board_of(values)
    folder = tmp_path_factory.mktemp("published")
    board.records.to_csv(folder / "records.csv", index=False)
    measurements.to_csv(folder / "measurements.csv", index=False)
    (folder / "suite.yaml").write_text("suite: s\n")
    return folder


@pytest.mark.parametrize(("words", "rows"), [(("effects",), 5), (("compare", "p2", "p0"), 1)])
def test_what_is_found_is_written_in_each_format(cli, published, words, rows):
    call = (words[0], published, *words[1:], "--format")
    table = pd.read_csv(StringIO(cli(*call, "csv").out))
    assert len(table) == len(json.loads(cli(*call, "json").out)) == rows
    assert "better" in set(table["verdict"])
    assert "| better |" in cli(*call, "md").out
    assert r"\begin{tabular}" in cli(*call, "latex").out
    shown = cli(*call, "table")
    assert (shown.code, shown.err) == (0, "")
    assert "better" in shown.out


def test_a_comparison_is_said_in_words_first(cli, published):
    shown = cli("compare", published, "prior=p2", "prior=p0", "--equal-within", "0.5").out
    words = " ".join(shown.split())
    assert words.startswith(
        "p2 against p0, in 2 pairs of combinations that are otherwise alike, with 4 seeds."
    )
    assert "p2 is better. Equal is what differs by no more than 0.5 nats: as asked for." in words
    assert "paired by seed alone" in words


@pytest.mark.parametrize("words", [("effects",), ("compare", "p0", "p1")])
def test_an_empty_folder_holds_nothing_to_compare(cli, tmp_path, words):
    shown = cli(words[0], tmp_path, *words[1:])
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith(f"lvmbench: '{tmp_path}' holds no results")
    assert shown.err.count("\n") == 1
