"""Suites that train in a moment, and ways to run them."""

import functools
import gc
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import tomllib
from collections import Counter
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import typer.main

from lvmbench import noise
from lvmbench.api import survey
from lvmbench.checks.testing import installed
from lvmbench.cli import main
from lvmbench.execution import executors, worker
from lvmbench.execution.fitting import baselines_of
from lvmbench.execution.local import HereExecutor
from lvmbench.execution.options import RunOptions
from lvmbench.execution.runner import prepare, run
from lvmbench.registry import loader
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.results.store import Store
from lvmbench.suites.plan import make_plan
from lvmbench.suites.suite import load_suite
from tests import statistical
from tests.databases import postgres, store, url  # noqa: F401

collect_ignore = ["mutants"]  # wrong on purpose, doctests and all

PROOF = (
    "Written by `pytest tests/plugins --proof leaderboards/exact/proof.md`; each row is an assertion of a "
    "test, and a figure outside of what is allowed fails it. Errors allowed as 3 or 4 standard errors are "
    "those of the measurement."
)
ERRORS = (
    "Written by `pytest tests/plugins/test_coverage.py -m 'slow or not slow' --errors "
    "leaderboards/exact/coverage.md`: evaluations of the same weights that differ in their seed alone. The "
    "true error is the root mean square distance from the truth, or where that is not known from the mean "
    "over the evaluations; the stated one the root mean square of those stated, by the evaluations that "
    "state one (`states`). The ratio is known to about 5% from 200 evaluations. `covered` is how often the "
    "figure is within two stated errors: 95% for normal figures whose error is well known. Where none is "
    "stated the evaluator says that it cannot know."
)


class Table(NamedTuple):
    """What is written of the properties that tests record."""

    head: str
    row: str


TABLES = {
    "proof": Table(
        f"# Instruments held against known truth\n\n{PROOF}\n\n"
        "| instrument | held against | truth | measured | allowed |\n|---|---|---|---|---|",
        "| {0} | {1} | {2:.5g} | {3:.5g} | {4:.2g} |",
    ),
    "errors": Table(
        f"# Stated errors beside true ones\n\n{ERRORS}\n\n"
        "| evaluator | on | figure | evaluations | states | true error | stated | ratio | covered |\n"
        "|---|---|---|--:|--:|--:|--:|--:|--:|",
        "| `{0}` | {1} | {2} | {3} | {4} | {5} | {6} | {7} | {8} |",
    ),
}
SUITE = {
    "suite": "tiny",
    "version": 1,
    "datasets": ["blobs[train=60,validation=20,test=20]"],
    "priors": ["standard_normal", "mixture[components=2]"],
    "posteriors": ["gaussian[hidden=8,layers=1]"],
    "decoders": ["linear_gaussian"],
    "objectives": ["elbo"],
    "latent": 2,
    "budget": {"epochs": 3, "batch": 20, "learning_rate": 1e-2, "patience": 0},
    "seeds": [0, 1],
    "evaluators": ["tightness[samples=20,repeats=5]"],
}


@pytest.fixture(autouse=True, scope="session")
def heard():
    """Signals are heard that a process begun in the background ignores, as would all that it begins."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True, scope="session")
def found_once():
    """What is installed is looked up once for each state of the path; commands are put together once."""

    def state():
        return tuple((entry, os.path.exists(entry) and os.stat(entry).st_mtime_ns) for entry in sys.path)

    with pytest.MonkeyPatch.context() as patch:
        find = functools.cache(lambda path, group: entry_points(group=group))
        patch.setattr(loader, "entry_points", lambda group: find(state(), group))
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session")
def suite():
    """The keys of the tiny suite."""
    return SUITE


def pytest_configure(config):
    """One thread to a process, as there are as many processes as cores; data are parsed anew, once."""
    config.addinivalue_line("markers", statistical.MARKER)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    if not hasattr(config, "workerinput"):  # the processes of one run share them
        parsed = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        config.add_cleanup(parsed.cleanup)
        os.environ["LVMBENCH_CACHE"] = parsed.name  # what these sources make of raw files, and no others


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """What is imported and collected stays to the end, so that no search for garbage need look at it.

    Much of what tests find is kept for others: it is searched less often than usual.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 10, 100)
        gc.enable()


def pytest_sessionfinish():
    """What is left is searched for garbage once: pytest does it five times, so that none escapes it."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser):
    parser.addoption("--proof", help="write what the instruments were held against to this file")
    parser.addoption("--errors", help="write stated errors beside true ones to this file")
    parser.addoption(
        "--seeds", type=int, default=0, help="run each statistical test under so many other seeds"
    )
    parser.addoption("--audit", help="write the table of statistical tests to this file")


def pytest_generate_tests(metafunc):
    """With ``--seeds`` each statistical test is run under so many other seeds, in place of its own."""
    others = metafunc.config.getoption("--seeds")
    if others and "chance" in metafunc.fixturenames:
        metafunc.parametrize("chance", range(1, others + 1), indirect=True, ids="seed{}".format)


@pytest.fixture
def chance(request, monkeypatch, record_property):
    """The comparisons of a statistical test.

    Every stream of noise, and torch's generator, is that of another seed if asked.
    """
    shift = getattr(request, "param", 0)
    if shift:
        derive = noise.derive
        monkeypatch.setattr(noise, "derive", lambda seed, *words: derive(seed, *words, "other", shift))
        torch.manual_seed(shift)
    mark = request.node.get_closest_marker("statistical")
    made = statistical.Chance(shift, **mark.kwargs)
    record_property("statistical", [*mark.args, shift, made.width])
    return made


@pytest.fixture(autouse=True)
def _every_connection_is_closed(monkeypatch):
    """SQLite connections that a test opens are closed at its end.

    Of those left open Python tells from 3.13 on, and late.
    """
    opened, connect = [], sqlite3.dbapi2.connect

    def tell(*arguments, **options):
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3.dbapi2, "connect", tell)
    yield
    assert not any(map(is_open, opened)), "connections to a store were left open"


def is_open(connection):
    try:
        connection.total_changes  # noqa: B018
    except sqlite3.ProgrammingError:
        return False
    return True


@pytest.fixture
def proof(record_property):
    """Hold a figure of an instrument against what is known, and keep it for the table of ``--proof``."""

    def hold(instrument, against, measured, truth, allowed):
        record_property("proof", [instrument, against, *map(float, (truth, measured, allowed))])
        assert abs(measured - truth) <= allowed, f"{instrument}: {measured:.6g} for {truth:.6g}, {against}"

    return hold


def pytest_terminal_summary(terminalreporter, config):
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, [])]
    if path := config.getoption("audit", None):
        Path(path).write_text(statistical.table(reports))
    for name, table in TABLES.items():
        path = config.getoption(name, None)
        if path is not None:
            rows = _kept(terminalreporter, name)
            Path(path).write_text("\n".join([table.head, *(table.row.format(*row) for row in rows), ""]))
            terminalreporter.write_line(f"{len(rows)} rows of {name} in {path}")


def _kept(terminalreporter, name):
    """What passing tests have recorded under this name, each once."""
    passed = terminalreporter.stats.get("passed", [])
    return sorted({tuple(row) for report in passed for key, row in report.user_properties if key == name})


class Quiet:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.packs, self.heard, self.finished, self.said = 0, [], [], []

    def start(self, packs, workers):
        self.packs = packs

    def progress(self, name, progress):
        self.heard.append(progress)

    def finish(self, name, counts, reason):
        self.finished.append((name, Counter(counts), reason))

    def say(self, text):
        self.said.append(text)


class Tiny:
    """A tiny suite and its results directories, in a temporary folder."""

    def __init__(self, folder, made_once=None):
        self.folder, self.reporter, self._made_once = folder, Quiet(), made_once

    def write(self, **changes):
        """The suite as a file, with other keys; JSON is YAML."""
        path = self.folder / "tiny.yaml"
        path.write_text(json.dumps({**SUITE, **changes}))
        return path

    def plugin(self, name, text):
        """A local plugin file; each test needs its own name, as modules are loaded once."""
        path = self.folder / f"{name}.py"
        path.write_text(text)
        return str(path)

    def run(self, out="out", *, plugins=(), jobs=0, training=True, options=None, **changes):
        """Run the suite into a folder, in this process unless there are jobs; the summary."""
        selection = PluginSelection(tuple(plugins))
        catalogue = load_catalogue(selection)
        plan = make_plan(load_suite(str(self.write(**changes)), catalogue), catalogue)
        prepare(self.folder / out)
        options = RunOptions(jobs=jobs, selection=selection, **(options or {}))
        how = {"training": training, "baselines": baselines_of(plan.data, options)}
        with self.store(out) as opened:
            return run(plan, self.folder / out, opened, options, self.reporter, **how)

    def have(self, out="out", **changes):
        """Have in a folder what `run` leaves there.

        It is made once for all tests that are about what comes afterwards.
        """
        self.write(**changes)
        shutil.copytree(self._made_once(json.dumps(changes)), self.folder / out)

    def store(self, out="out"):
        """The store of a results directory, closed at the end of a ``with``."""
        return Store.at(self.folder / out)

    def frame(self, table="records", out="out", **options):
        """A table of the store."""
        with self.store(out) as opened:
            return getattr(opened, table)(**options)


def hurry(patch):
    """Let runs go without figures, baselines and report, which take longer than everything else."""
    patch.setattr("lvmbench.results.export._draw", lambda *arguments: None)
    patch.setattr("lvmbench.execution.runner.due_baselines", lambda *arguments: [])
    patch.setattr("lvmbench.cli.running._renew_report", lambda *arguments: None)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """The results of a tiny suite with other keys, for each that is asked for."""

    @functools.cache
    def folder(changes):
        tiny = Tiny(tmp_path_factory.mktemp("finished"))
        tiny.run(**json.loads(changes))
        return tiny.folder / "out"

    return folder


@pytest.fixture
def tiny(tmp_path, monkeypatch, made_once):
    """A tiny suite; its runs go without what takes longer than everything else."""
    hurry(monkeypatch)
    return Tiny(tmp_path, made_once)


class Shown(NamedTuple):
    """What a command left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


def stay_here(patch):
    """Let commands do all in this process, unless they ask for workers."""
    local = executors.EXECUTORS["local"]
    patch.setitem(executors.EXECUTORS, "local", lambda o: local(replace(o, jobs=o.jobs or 0)))
    patch.setattr(survey, "place", lambda foreign: HereExecutor())


@pytest.fixture
def cli(monkeypatch, capsys):
    """The command line as a user meets it, in this process."""
    monkeypatch.setattr("lvmbench.api.progress.console.width", 200)
    stay_here(monkeypatch)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["lvmbench", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return Shown(end.value.code or 0, *capsys.readouterr())

    return call


def forget_what_is_installed():
    """Let catalogues be made anew that are kept for a whole process."""
    worker.world.cache_clear()
    installed.cache_clear()


@pytest.fixture
def install_project(monkeypatch):
    """Install a project folder for one test, as `importlib.metadata` sees it:
    its dist-info, on ``sys.path``.
    """
    before, folders = set(sys.modules), []

    def install(folder):
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(metadata)
        points = project["entry-points"]["lvmbench"]
        lines = [f"{name} = {module}" for name, module in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[lvmbench]", *lines]))
        monkeypatch.syspath_prepend(str(folder))
        folders.append(str(folder))
        forget_what_is_installed()
        return project

    yield install
    forget_what_is_installed()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(tuple(folders) or "/nothing"):
            del sys.modules[name]
