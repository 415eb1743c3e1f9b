"""What the documentation shows is what happens.

The blocks of a page are taken in order, in a folder of their own. One with a title is written to that file;
Python runs, in one namespace for the page, and a ``text`` block below it is what it prints; YAML is planned
as a suite, the keys it lacks filled in; the commands of a ``console`` block run, without worker processes,
and must show what stands below them. There ``...`` stands for anything, times are not compared, and numbers
with a decimal point or a ± may differ as they do between processors.
"""

import ast
import contextlib
import functools
import importlib
import importlib.util
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML

from lvmbench.api.description import Description
from lvmbench.cli import main
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.optimizers import OPTIMIZERS
from lvmbench.combinations.schedules import SCHEDULES
from lvmbench.distributions import Distribution
from lvmbench.options import options_model
from lvmbench.registry.loader import load_catalogue
from lvmbench.status import Status
from lvmbench.suites.plan import make_plan
from lvmbench.suites.schema import Schema
from lvmbench.suites.suite import load_suite
from tests.conftest import stay_here

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
WIDTH = 100
FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
TIME = r"\d[\d.]* (?:s|min|h|GiB)\b"
NUMBER = r"-?\d+\.\d+(?:e[+-]\d+)?|-?\d+(?= ±)|(?<=± )\d+"
TOKEN = re.compile(rf"(\.\.\.|{TIME}|{NUMBER})")
KEYS = {
    "suite": "shown",
    "datasets": ["blobs"],
    "priors": ["standard_normal"],
    "posteriors": ["gaussian"],
    "decoders": ["gaussian"],
    "objectives": ["elbo"],
    "evaluators": ["tightness"],
}


class Block(NamedTuple):
    """A block of a page, and the line that it begins in."""

    language: str
    title: str
    text: str
    line: int


def blocks(page):
    text = (DOCS / page).read_text()
    return [Block(*m.groups(default=""), text[: m.start()].count("\n") + 1) for m in FENCE.finditer(text)]


def same(shown, real):
    """Whether an output is what is shown of it, apart from white space, times and last digits.

    Intervals from two or three seeds are another matter: they follow the last digits.
    """
    shown, real = tidy(shown), tidy(real)
    match = re.fullmatch("".join(map(pattern, shown)), "".join(real))
    tokens = [token for line in shown for token in TOKEN.finditer(line)]
    told = [t for t in tokens if t[0] != "..." and not re.fullmatch(TIME, t[0])]
    shares = [0.6 if t.string[: t.start()].endswith("± ") else 0.05 for t in told]
    return match is not None and all(
        abs(float(found) - float(t[0])) <= 0.05 + share * abs(float(t[0]))
        for found, t, share in zip(match.groups(), told, shares, strict=True)
    )


def tidy(text):
    return [re.sub("─+", "─", " ".join(line.split())) + "\n" for line in text.splitlines() if line.strip()]


def pattern(line):
    """What matches a line: every second piece of it is a token."""
    if line == "...\n":
        return r"(?:.*\n)*?"
    pieces = TOKEN.split(line)
    return "".join(_token(piece) if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))


def _token(text):
    if text == "...":
        return ".*?"
    return r"\d[\d.]* \w+" if re.fullmatch(TIME, text) else r"(-?\d[\d.]*(?:e[+-]\d+)?)"


class Page:
    """Takes the blocks of a page, in the current folder; what they wrote is in ``transcript``."""

    def __init__(self, page):
        self.page, self.names, self.printed = page, {"__name__": "__docs__"}, ""
        self.transcript = []

    def take(self, block):
        where = f"docs/{self.page}:{block.line}"
        if block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.text)
        assert block.title or block.language in {"python", "text", "yaml", "console"}, f"{where}: not tested"
        getattr(self, f"_{block.language}", lambda *_: None)(block, where)

    def _python(self, block, where):
        if block.title:
            forget(Path.cwd())
            importlib.import_module(Path(block.title).stem)
            return
        code = compile("\n" * block.line + block.text, DOCS / self.page, "exec")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, self.names)  # noqa: S102
        self.printed = out.getvalue()

    def _text(self, block, where):
        self.compare(block.text, self.printed, where)

    def _yaml(self, block, where):
        catalogue = load_catalogue()
        given = YAML(typ="safe").load(block.text)
        path = Path(block.title or "shown.yaml")
        if not block.title:
            path.write_text(block.text if KEYS.keys() <= given.keys() else json.dumps({**KEYS, **given}))
        suite = load_suite(str(path), catalogue)
        assert make_plan(suite, catalogue).planned, where

    def _console(self, block, where):
        assert block.text.startswith("$ "), where
        for command, _, shown in (
            c.partition("\n") for c in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
        ):
            real, code = run(command)
            self.compare(shown, real, f"{where}: {command}")
            due = 2 if shown.startswith("lvmbench: ") else int(" failed" in shown)
            assert code == due, f"{where}: {command} ended with {code}"

    def compare(self, shown, real, where):
        self.transcript.append((where, real))
        assert same(shown, real), f"{where}\n--- shown\n{shown}\n--- real\n{real}"


def run(command):
    """What a command writes, and its exit code.

    ``lvmbench`` runs in this process, and ``pip`` is left to CI.
    """
    words = shlex.split(command, comments=True)
    if words[0] == "pip":
        return "", 0
    if words[0] != "lvmbench":
        done = subprocess.run(command, shell=True, text=True, capture_output=True, check=False)
        return done.stdout + done.stderr, done.returncode
    forget(Path.cwd())
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        stay_here(patch)
        patch.setattr(sys, "argv", words)
        patch.setattr("lvmbench.api.progress.console.width", WIDTH)
        with contextlib.redirect_stderr(out), pytest.raises(SystemExit) as end:
            main()
    return out.getvalue(), end.value.code or 0


def forget(folder):
    """Let files be imported anew."""
    importlib.invalidate_caches()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES)
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LVMBENCH_DATA", str(tmp_path / "raw"))
    taken = Page(page)
    try:
        for block in blocks(page):
            taken.take(block)
    finally:
        forget(tmp_path)


def test_every_page_is_in_the_navigation_and_every_link_leads_somewhere():
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "zensical.toml").read_text()))
    assert listed == {*PAGES, *generated()}
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", (DOCS / page).read_text()):
            assert (DOCS / link).exists() or link in generated(), f"docs/{page}: {link}"


@functools.cache
def generator():
    """What writes the pages on components and commands."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def generated():
    """The text of each page that is written."""
    return generator().pages()


def test_the_generated_pages_have_every_component_with_its_options():
    pages = generated()
    for entry in load_catalogue().entries():
        if entry.plugin == "reference":
            text = pages[f"components/{entry.kind}s.md"]
            assert f"## `{entry.name}`" in text
            assert ":math:" not in text
            assert ".. math::" not in text
    assert all(
        f"## lvmbench {command}\n" in pages["cli.md"] for command in ("run", "check", "new", "data list")
    )
    assert (
        "- `components` (whole number, at least 1, default `10`): The number of components $C$."
        in pages["components/priors.md"]
    )


TABLED = re.compile(
    r"^\| \[`(\w+)`\]\((\w+)s\.md#(\w+)\) \| .+\. \| \[.+, \d{4}\]\(https?://.+\) \|$", re.MULTILINE
)


def test_every_component_is_in_a_table_with_the_work_that_it_comes_from():
    registered = {(e.kind, e.name) for e in load_catalogue().entries() if e.plugin == "reference"}
    rows = TABLED.findall(generated()["components/index.md"])
    assert all(name == anchor for name, _, anchor in rows)
    assert {(kind, name) for name, kind, _ in rows} == {pair for pair in registered if pair[0] != "suite"}


RELAXED = """
suite: relaxed
datasets: [digits]
priors: [bernoulli]
posteriors: [relaxed]
decoders: [bernoulli]
objectives: [elbo]
evaluators: [clustering]
"""


@pytest.mark.parametrize("suite", ["quick", RELAXED], ids=["quick", "relaxed"])
def test_what_trains_together_is_not_said_to_be_apart(tmp_path, suite):
    """By the combinations of a suite that nothing refuses, each with the evaluators that measure it."""
    if suite == RELAXED:
        (tmp_path / "relaxed.yaml").write_text(RELAXED)
        suite = str(tmp_path / "relaxed.yaml")
    catalogue, module = load_catalogue(), generator()
    plan = make_plan(load_suite(suite, catalogue), catalogue)
    measured = {("evaluator", asked.choice.ref.name) for asked in plan.suite.evaluators}
    due = [p for p in plan.planned if p.status is None and not p.refused_evaluators]
    together = [measured | {(kind, ref.name) for kind, ref in p.combination.refs.items()} for p in due]
    assert together
    for parts in together:
        for kind, name in parts:
            others = module._barred(Description.of(catalogue.entry(kind, name)), catalogue)
            assert not parts & {(other.entry.kind, other.entry.name) for other, _ in others}, f"{kind} {name}"


def test_who_provides_a_requirement_is_named():
    text = generated()["components/estimators.md"]
    stl = text.partition("## `stl`")[2].partition("\n## ")[0]
    (slope,) = [line for line in stl.splitlines() if line.startswith("- `posterior.slope`")]
    assert "`gaussian`" in slope  # it has a density
    assert "`planar`" in slope  # it has none, and a slope


QUOTED = re.compile(r'"([\w.]+)"')


def words_in_use():
    """Each ``kind.word`` that a reference component requires or provides, read from its source."""
    for path in (ROOT / "plugins" / "lvmbench_plugins").glob("*s/[!_]*.py"):
        kind = path.parent.name.removesuffix("s")
        for literal in re.findall(r"frozenset\(\s*\{([^}]*)\}|\(\{([^}]*)\}", path.read_text()):
            for word in QUOTED.findall("".join(literal)):
                yield word if "." in word else f"{kind}.{word}"


def test_the_vocabulary_is_the_one_in_use():
    text = (DOCS / "contracts.md").read_text()
    traits = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    words = set(re.findall(r"^\| `(\w+\.\w+)` \|", text, re.MULTILINE))
    assert traits == set(re.findall(r"- ``(\w+)``:", Distribution.__doc__))
    kinds = ("prior", "posterior", "decoder", "evaluator")  # evaluators have distributions of their own
    known = words | {f"{kind}.{trait}" for kind in kinds for trait in traits}
    used = set(words_in_use())
    assert used <= known, f"docs/contracts.md lacks {sorted(used - known)}"
    source = "".join(path.read_text() for path in (ROOT / "lvmbench").rglob("*.py"))
    unused = {word for word in words - used if f'"{word.partition(".")[2]}"' not in source}
    assert not unused, f"docs/contracts.md has {sorted(unused)}, which nothing provides or requires"


def lines_of_code(text):
    """Lines that hold more than blanks, comments and docstrings."""
    tree = ast.parse(text)
    docstrings = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    lines = enumerate(text.splitlines(), 1)
    return sum(bool(line.strip()) and line.strip()[0] != "#" and n not in docstrings for n, line in lines)


def test_the_lines_of_code_are_counted():
    rows = re.findall(
        r"^\| \[(\w+)\]\(([\w-]+\.md)\) \| (\d+) \|", (DOCS / "plugins.md").read_text(), re.MULTILINE
    )
    kinds = ["prior", "posterior", "decoder", "objective", "estimator", "evaluator", "dataset"]
    assert [kind for kind, *_ in rows] == kinds
    for kind, page, stated in rows:
        first = next(b for b in blocks(page) if b.language == "python" and b.title)
        assert lines_of_code(first.text) == int(stated), kind


def test_comparing():
    assert same("a  1.00\n...\nend ...\n", "a 1.04\nmore\nand more\nend of it\n")
    assert same("8 ± 48\n", "8.3 ± 49\n")
    assert same("[1/2  3.0 s] done\n", "[1/2 47 s] done\n")
    assert not same("a 1.00\n", "a 1.20\n")
    assert not same("a\n", "a\nb\n")
    assert not same("rank 1\n", "rank 2\n")


def rows(page, heading):
    """The cells of each row of the page's tables whose first column has this heading,
    without their backticks.
    """
    text = (DOCS / page).read_text()
    tables = re.findall(rf"^\| {heading} \|.*\n\| ---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    lines = "".join(tables).replace("`", "").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_key_of_a_suite_is_described():
    keys = [key for key, *_ in rows("suites.md", "key")]
    assert keys == [*Schema.model_fields, *Budget.model_fields]


def test_every_schedule_is_described_with_its_options():
    for kind, classes in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS)):
        described = {name: options for name, options, _ in rows("suites.md", kind)}
        assert described == {
            name: ", ".join(f"{o}={f.default}" for o, f in options_model(cls).model_fields.items())
            for name, cls in classes.items()
        }


def test_every_status_is_described():
    assert [status for status, *_ in rows("read-a-leaderboard.md", "status")] == list(Status)
