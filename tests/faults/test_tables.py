"""Tables and other files of results that nobody has written so: one line that names the file, and no more."""

import pytest
from matplotlib.figure import Figure

from lvmbench.errors import UserError
from lvmbench.results.export import BOARD_FIGURE
from lvmbench.results.pictures.board import save
from lvmbench.results.publish import publish
from tests.faults.test_stores import no_room

ONE = {"priors": ["standard_normal"], "seeds": [0]}


@pytest.fixture
def board(tiny):
    """A published board."""
    tiny.have(**ONE)
    publish(tiny.folder / "out", tiny.folder / "board")
    return tiny.folder / "board"


def row(text):
    """A table whose first row is no such thing."""
    head, first, *rest = text.splitlines()
    return "\n".join([head, ",".join("x" for _ in first.split(",")), *rest])


SPOILT = {
    "records.csv": (row, lambda t: "\0\udcff", lambda t: "", lambda t: t.replace("status", "state")),
    "measurements.csv": (row, lambda t: t.replace("value", "figure")),
    "figures.csv": (lambda t: "\0\udcff", lambda t: t.replace("meaning", "sense")),
    "provenance.json": (lambda t: t[:-10], lambda t: "[1]", lambda t: "[" * 10**5),
    "suite.yaml": (lambda t: "suite: !!python/object/apply:os.getcwd []", lambda t: "# c\n" * 10**6),
}


def test_a_damaged_file_is_named_in_one_line(board, cli):
    for name, ways in SPOILT.items():
        file = board / name
        content = file.read_bytes()
        for spoil in ways:
            file.write_text(spoil(content.decode()), errors="surrogateescape")
            shown = cli("verify", board, "--sample", 0)
            assert (shown.code, shown.err.count("\n")) == (2, 1), (name, shown)
            assert str(file) in shown.err
            assert len(shown.err) < 1000
        file.write_bytes(content)
    assert cli("verify", board, "--sample", 0).code == 0


def test_a_table_that_was_edited_is_named_by_verify(tiny, cli):
    tiny.have(**ONE)
    for name, spoil in {"curves.csv": lambda b: b[:-20], "records.csv": lambda b: b"\xff" + b}.items():
        file = tiny.folder / "out" / name
        file.write_bytes(spoil(file.read_bytes()))
        if name == "curves.csv":
            shown = cli("verify", tiny.folder / "out", "--sample", 0)
            assert (shown.code, "differs: curves.csv is not what the store gives" in shown.out) == (1, True)
    shown = cli("verify", tiny.folder / "out", "--sample", 0)
    assert (shown.code, shown.err.count("\n")) == (2, 1)
    assert "records.csv' was changed by hand or is damaged" in shown.err


def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    figure, file = Figure(), tmp_path / BOARD_FIGURE
    file.write_text("an older one")
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_bytes", no_room)
        with pytest.raises(UserError, match=r"leaderboard\.svg' cannot be written: No space left on device"):
            save(figure, file)
    assert file.read_text() == "an older one"
    save(figure, file)
    assert file.read_text().startswith("<?xml")
