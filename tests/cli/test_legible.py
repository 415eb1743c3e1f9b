"""What is shown is shown whatever the names hold, and whatever the terminal, pipe or file can show."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from markdown_it import MarkdownIt

import lvmbench
from lvmbench.api.progress import LegibleConsole, Live
from lvmbench.cli import main
from lvmbench.execution.progress import Progress
from lvmbench.registry.names import Ref
from lvmbench.results.board import leaderboard
from lvmbench.results.markdown import to_markdown
from lvmbench.results.sections import sections
from lvmbench.results.terminal import to_rich
from lvmbench.text import legible, make_legible, printable, shell
from tests.results.test_plots import ODD, make

ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "utf-8", "utf-16"]
EVERYTHING = "".join(map(chr, range(0x3000))) + "".join(map(chr, range(0xD800, 0xE000))) + "😀\U0010ffff"
BYTES = os.fsdecode(b"odd\xff")
FAILING = """
import lvmbench
from lvmbench_plugins.priors.standard_normal import StandardNormal


class Shouting(StandardNormal):
    '''A prior that fails in colour.'''

    def forward(self, model):
        raise RuntimeError("no \\x1b[31mprior\\x07 today \\udcfe → ±")


@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("shouting", Shouting)
"""


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_any_text_can_be_written_in_any_encoding(encoding):
    shown = legible(EVERYTHING, encoding)
    assert shown.encode(encoding).decode(encoding) == shown
    assert not set(map(ord, shown)) & {*range(9), *range(11, 32), *range(127, 160)}
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    make_legible(stream)
    stream.write(EVERYTHING)
    stream.flush()


def test_signs_are_replaced_by_what_says_the_same():
    assert (
        legible("elbo ↑ gap ↓ 1 ± 2 a → b · … ≥ ≤", "ascii") == "elbo up gap down 1 +/- 2 a -> b - ... >= <="
    )
    assert legible("1 ± 2 · →", "cp1252") == "1 ± 2 · ->"
    assert legible("é 日 \udcff", "ascii") == r"e \u65e5 \xff"
    assert "?" not in legible(EVERYTHING.replace("?", ""), "ascii")


@pytest.mark.parametrize("text", ["plain", "a b", "it's", BYTES, "\x1b[31m", "é\n'\\", "$HOME", "-x"])
def test_a_shell_reads_a_path_back(text):
    done = subprocess.run(["bash", "-c", f"printf %s {shell(text)}"], capture_output=True, check=True)
    assert os.fsdecode(done.stdout) == text
    assert printable(shell(text)) == shell(text)


@pytest.mark.parametrize("value", [BYTES, "\x1b[31m", "a\nb", "price_$ é 😀", "é, 😀"])
def test_names_hold_nothing_that_cannot_be_shown(value):
    ref = Ref("table", {"columns": value})
    assert Ref.parse(str(ref)) == ref
    assert printable(str(ref)) == str(ref)
    assert "\n" not in str(ref)
    assert ("é" in value) == ("é" in str(ref))


def board(level, dataset="digits", reason="boom"):
    records, measurements = make(level, seeds=2)
    records["dataset"] = measurements["dataset"] = dataset
    records["reason"] = records["reason"].where(records["reason"] == "", reason)
    return leaderboard(records, measurements)


def printed(renderables, encoding, width=100):
    """What a console of an encoding is sent."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    console = LegibleConsole(file=stream, width=width, markup=False, emoji=False, highlight=False)
    for renderable in renderables:
        console.print(renderable)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS[:-1])
def test_tables_are_straight_in_every_encoding(encoding):
    made = board({name: -80.0 - i for i, name in enumerate(ODD[:4])})
    lines = printed(to_rich(made, 100, encoding), encoding).splitlines()
    rows = [line for line in lines if line.lstrip("| ")[:1].isdigit() or "rank" in line]
    assert len(rows) == 5
    assert len({len(line.rstrip()) for line in rows}) == 1
    assert ("+/-" in "".join(rows)) == (encoding in ("ascii", "cp437") and legible("±", encoding) != "±")


def test_markup_of_rich_in_names_and_reasons_is_text():
    odd = "[bold]x[/bold] :smile: [samples=4] a\\[b"
    made = board({odd: -80.0, "failed": None}, reason=f"\x1b[31m{odd}")
    text = " ".join(printed(to_rich(made, 300), "utf-8", 300).split())
    assert odd in text
    assert rf"\x1b[31m{odd}" in text


def test_markup_of_rich_in_the_progress_is_text():
    stream = io.StringIO()
    console = LegibleConsole(file=stream, width=150, force_terminal=True, color_system=None, markup=False)
    with Live(console) as live:
        live.start(1, 0)
        live.progress("data · [bold]x[/bold] a\\[b", Progress("train [red]", 1, 3, -1.0))
        live._bars.refresh()
    assert "[bold]x[/bold] a\\[b" in stream.getvalue()
    assert "train [red] -1.00 nats" in stream.getvalue()


def test_markdown_shows_names_as_they_are_written():
    names = [
        *ODD,
        "a`b|c",
        "*x* __y__ ~~z~~",
        "[a](b)",
        "<script>",
        r"back\slash",
        "1 < 2 & 3 &lt; 4",
        "end\\",
    ]
    made = board({name: -80.0 - i for i, name in enumerate(names)} | {"no": None}, dataset="d*$_|`")
    (section,) = sections(made)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(to_markdown(made))
    texts = ["".join(part.content for part in t.children) for t in tokens if t.type == "inline"]
    assert all("".join(part.type for part in t.children or ()) != "code_inline" for t in tokens)
    assert [name for name in section.columns["prior"] if name not in texts] == []
    assert "d*$_|`" in texts
    assert made.frame["prior"].dropna().tolist() == list(made.frame["prior"])
    assert all(name in made.to_csv() for name in ODD)


PUBLISHED = str(Path(lvmbench.__file__).parents[1] / "leaderboards" / "quick")
COMMANDS = [
    ("list",),
    ("show", "mixture"),
    ("show", "quick"),
    ("leaderboard", PUBLISHED),
    ("leaderboard", PUBLISHED, "--format", "md"),
    ("leaderboard", f"nowhere{BYTES}"),
    ("--help",),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:1] + words[2:]))
def test_commands_write_to_a_pipe_that_knows_ascii_only(words, monkeypatch):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    monkeypatch.setattr(sys, "argv", ["lvmbench", *words])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = (stream.detach().getvalue().decode("ascii") for stream in streams if not stream.flush())
    assert (end.value.code or 0) == (2 if "nowhere" in words[-1] else 0)
    assert "?" not in err
    assert ("+/-" in out) == (words[:2] == ("leaderboard", PUBLISHED))


def spoken(*words, folder, **environment):
    """A command in a process of its own, in a folder; what it wrote, as bytes."""
    call = [sys.executable, "-m", "lvmbench", *words]
    whole = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    whole.pop("COLUMNS", None)
    return subprocess.run(call, capture_output=True, check=False, cwd=folder, env=whole)


@pytest.fixture(scope="module")
def odd_results(tmp_path_factory, suite):
    """Runs of which one prior fails in colour, in a folder whose name is no UTF-8,
    by a suite and a plugin of such names.
    """
    folder = tmp_path_factory.mktemp("odd")
    plugin, file = folder / f"p{BYTES}.py", folder / f"s{BYTES}.yaml"
    plugin.write_text(FAILING, encoding="utf-8")
    file.write_text(json.dumps({**suite, "priors": ["standard_normal", "shouting"]}), encoding="utf-8")
    words = ("run", file.name, "--out", BYTES, "--plugin", plugin.name, "--jobs", "0")
    return folder, spoken(*words, folder=folder, PYTHONIOENCODING="ascii")


@pytest.mark.slow
def test_a_run_says_how_it_ended_in_ascii_whatever_names_and_reasons_hold(odd_results):
    _, done = odd_results
    out = done.stdout.decode("ascii")
    assert (done.returncode, done.stderr) == (1, b"")
    assert "2 failed" in out
    assert r"no \x1b[31mprior\x07 today \xfe -> +/-" in " ".join(out.split())
    assert r"lvmbench retry $'odd\xff'" in out
    assert "\x1b" not in out


LATER = [
    ("status", BYTES, "--traceback"),
    ("leaderboard", BYTES),
    ("leaderboard", BYTES, "--format", "md"),
    ("leaderboard", BYTES, "--format", "csv"),
    ("publish", BYTES, f"pub{BYTES}"),
    ("leaderboard", f"nowhere{BYTES}"),
]


@pytest.mark.slow
@pytest.mark.parametrize("words", LATER, ids=lambda words: words[0])
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONUTF8": "1"},
    ],
    ids=str,
)
def test_no_command_ends_in_a_traceback_for_what_it_has_to_show(odd_results, words, environment):
    folder, _ = odd_results
    done = spoken(*words, folder=folder, **environment)
    refused = words[1].startswith("nowhere")
    assert (done.returncode, done.stderr.count(b"\n")) == (2 if refused else 0, int(refused))
    assert b"\x1b" not in done.stdout + done.stderr


@pytest.mark.slow
def test_no_file_of_a_run_holds_what_a_terminal_obeys(odd_results):
    folder, _ = odd_results
    tables = [path for path in (folder / BYTES).iterdir() if path.suffix in (".csv", ".md", ".json", ".svg")]
    assert len(tables) > 5
    assert [path.name for path in tables if "\x1b" in path.read_text(encoding="utf-8")] == []


def test_what_was_fitted_is_said_in_a_line(suite):
    budget = {"epochs": 1, "batch": 20}
    words = {"data": suite["datasets"][0], "prior": "standard_normal", "posterior": "gaussian[hidden=8]"}
    fitted = lvmbench.fit(**words, decoder="linear_gaussian", objective="elbo", latent=2, **budget)
    assert repr(fitted).startswith("Fitted(blobs[test=20,train=60,validation=20] · standard_normal · ")
    assert "\n" not in repr(fitted)
    assert repr(fitted.data).startswith("Data(train=Split(x=(60, ")


def test_data_are_said_in_a_line():
    data = lvmbench.Data(
        {name: lvmbench.Split(torch.zeros(9, 2)) for name in ("train", "validation", "test")}, "real", "none"
    )
    assert (
        repr(data)
        == "Data(train=Split(x=(9, 2)), validation=Split(x=(9, 2)), test=Split(x=(9, 2)), support='real')"
    )
    labelled = lvmbench.Split(torch.zeros(9, 2), torch.zeros(9, dtype=torch.long))
    assert repr(labelled) == "Split(x=(9, 2), labels)"
