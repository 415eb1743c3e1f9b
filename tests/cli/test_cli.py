"""The commands: what they show, what they leave, and how they end."""

import contextlib
import hashlib
import inspect
import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from io import StringIO

import pandas as pd
import pytest
import typer.main
from rich.console import Console
from rich.text import Text

from lvmbench.api.progress import Live
from lvmbench.checks.partners import Bench
from lvmbench.cli.app import app
from lvmbench.execution.progress import Progress
from lvmbench.kinds import PARTS
from lvmbench.registry.loader import load_catalogue
from tests.conftest import hurry

ENTRIES = load_catalogue().entries()
COMMANDS = {name: command for name, command in typer.main.get_command(app).commands.items() if name != "data"}
COMMANDS |= {f"data {name}": c for name, c in typer.main.get_command(app).commands["data"].commands.items()}
FAILING = """
import pathlib

import lvmbench
from lvmbench_plugins.priors.standard_normal import StandardNormal

class Failing(StandardNormal):
    '''A prior that fails.'''

    def forward(self, model):
        if not pathlib.Path(__file__).with_name("mended").exists():
            raise RuntimeError("no prior today")
        return super().forward(model)

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("failing", Failing)
"""


def real(*words):
    """The command in a process of its own."""
    call = [sys.executable, "-m", "lvmbench", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=False)


# Help


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_has_an_example_that_parses(cli, name):
    shown = cli(*name.split(), "--help")
    assert (shown.code, shown.err) == (0, "")
    assert f"Example: lvmbench {name}" in shown.out
    words = shlex.split(re.search(r"Example: ([^&\n]*)", COMMANDS[name].help).group(1))
    COMMANDS[name].make_context(name, words[1 + len(name.split()) :])


def test_the_help_lists_every_command_and_a_start(cli):
    shown = cli("--help")
    assert all(re.search(rf"│ {name.split()[0]} ", shown.out) for name in COMMANDS)
    assert "Start with: lvmbench run quick" in shown.out
    assert cli().out.strip() == shown.out.strip()
    assert cli("--version").out.startswith("lvmbench 0")


QUICK = [
    ("--help",),
    ("run", "--help"),
    ("list",),
    ("list", "--json"),
    ("plugins",),
    ("show", "quick"),
    ("--version",),
]


def test_what_only_lists_does_not_import_torch():
    script = f"""
import sys
from lvmbench.cli import main
for words in {QUICK!r}:
    sys.argv = ["lvmbench", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, words
    heavy = {{"torch", "sklearn", "scipy", "matplotlib", "sqlalchemy"}} & set(sys.modules)
    assert not heavy, (words, heavy)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Components


def test_list_has_every_component_with_its_owner(cli):
    rows = json.loads(cli("list", "--json").out)
    assert {(r["kind"], r["name"]) for r in rows} == {(e.kind, e.name) for e in ENTRIES}
    assert all(
        isinstance(row[f], str) and row[f] for row in rows for f in ("plugin", "distribution", "version")
    )
    table = cli("list").out
    assert all(
        re.search(rf"^{e.kind} +{e.name} +{e.distribution} {e.version}", table, re.MULTILINE) for e in ENTRIES
    )
    assert {r["kind"] for r in json.loads(cli("list", "prior", "--json").out)} == {"prior"}


@pytest.fixture(scope="module")
def bench():
    """What goes with what, which the components of a catalogue need not find out each for itself."""
    return Bench(load_catalogue())


@pytest.fixture
def show(cli, bench, tmp_path, monkeypatch):
    """What `lvmbench show` says of what is installed, in a folder without boards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lvmbench.cli.relations.Bench", lambda catalogue: bench)
    return lambda *words: cli("show", *words)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.kind}-{e.name}")
def test_everything_in_the_catalogue_can_be_shown(show, entry):
    shown = show(entry.name, "--kind", entry.kind)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(f"{entry.kind} {entry.name} ({entry.distribution} {entry.version})")
    assert ":math:" not in shown.out
    if entry.kind == "suite":
        assert entry.path.read_text().strip() in shown.out
    else:
        assert re.search(r"^option +type +range +default|^no options", shown.out, re.MULTILINE)


def test_options_are_shown_with_type_range_and_default(show):
    shown = show("mixture").out
    assert re.search(r"^components +int +≥ 1 +10 *$", shown, re.MULTILINE)
    assert re.search(r"^spread +float +> 0 +1\.0 +may vary *$", shown, re.MULTILINE)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.kind == "evaluator"], ids=lambda e: e.name)
def test_an_evaluator_is_shown_with_what_it_measures(show, entry):
    shown = show(entry.name, "--kind", "evaluator").out
    assert re.search(r"^metric +title +unit +better +meaning", shown, re.MULTILINE)
    for name, metric in entry.load().metrics.items():
        said = f"{name} +{re.escape(metric.title)} +{re.escape(metric.unit)} *{metric.better} +(.*)"
        row = re.search(f"^{said}", shown, re.MULTILINE)
        assert metric.meaning[:60].startswith(row.group(1).strip()[:60].removesuffix("; by the clock")[:60])


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ["tightness", "table", "score"])
def test_what_is_shown_fits_the_terminal_and_breaks_between_words(show, monkeypatch, name, width):
    monkeypatch.setattr("lvmbench.api.progress.console.width", width)
    shown = show(name).out
    assert max(map(len, shown.splitlines())) <= width
    written = inspect.cleandoc(next(e for e in ENTRIES if e.name == name).load().__doc__)
    longest = max(re.sub(r"[`:]|math", "", written).split(), key=len)
    assert longest in re.sub(r"[`:]", "", shown)


def test_a_long_name_in_the_plan_breaks_at_its_options(cli, monkeypatch):
    monkeypatch.setattr("lvmbench.api.progress.console.width", 60)
    shown = cli("plan", "quick", "--no-estimate").out
    assert re.search(r" bernoulli\[ .*\n +layers= +\n +0\]", shown)


def test_a_name_of_several_kinds_is_shown_for_each(show):
    shown = show("gaussian").out
    assert "posterior gaussian (" in shown
    assert "decoder gaussian (" in shown


def test_a_kind_before_the_name_says_which_and_evaluators_show_their_figures(show):
    assert "decoder gaussian (" not in show("posterior/gaussian").out
    shown = show("evaluator/tightness").out
    assert re.search(r"^gap +Gap +nats +lower +log p\(x\) minus the ELBO *$", shown, re.MULTILINE)
    assert "boards show: elbo, log_likelihood, gap" in shown


def test_plugins_are_listed(cli):
    shown = cli("plugins")
    assert re.search(r"^reference \(lvmbench [\d.]+\): \d+ registered$", shown.out, re.MULTILINE)
    assert shown.out.endswith("no problems\n")
    found = json.loads(cli("plugins", "--json").out)
    assert found["problems"] == []
    assert "prior 'mixture'" in found["plugins"][0]["registers"]


def test_doctor_finds_all_well(cli):
    shown = cli("doctor")
    assert (shown.code, shown.out.splitlines()[-1]) == (0, "all is well")
    assert re.search(r"^packages: torch [\d.]+", shown.out, re.MULTILINE)


def test_data_are_listed_with_what_is_here(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("LVMBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("LVMBENCH_CACHE", str(tmp_path / "cache"))
    assert cli("data", "where").out == f"raw files    {tmp_path}\nparsed data  {tmp_path}/cache\n"
    listed = cli("data", "list").out
    assert re.search(r"^mnist +0 of 4 raw files here$", listed, re.MULTILINE)
    assert re.search(r"^blobs +generated, built in or yours: no raw files$", listed, re.MULTILINE)


FLOWERS = """
import lvmbench
from lvmbench import Data, Dataset, RawFile, fetch


class Flowers(Dataset):
    files = (RawFile("flowers/flowers.csv", "%s", "https://example.org/flowers.csv"),)

    def load(self):
        raise NotImplementedError


@lvmbench.hookimpl
def lvmbench_register(register):
    register.dataset("flowers", Flowers)
"""


def test_raw_files_of_a_plugin_file_are_listed_and_fetched(cli, tiny, monkeypatch):
    monkeypatch.setenv("LVMBENCH_DATA", str(tiny.folder))
    raw = tiny.folder / "flowers" / "flowers.csv"
    raw.parent.mkdir()
    raw.write_bytes(b"1.5,2.5\n")
    plugin = tiny.plugin("flowers_file", FLOWERS % hashlib.sha256(raw.read_bytes()).hexdigest())
    assert re.search(
        r"^flowers +1 of 1 raw files here$", cli("data", "list", "--plugin", plugin).out, re.MULTILINE
    )
    assert cli("data", "fetch", "flowers", "--plugin", plugin).out == f"{raw}\n"


@pytest.mark.parametrize("parsed", [False, True])
def test_a_check_says_where_raw_files_are_to_be_had(cli, tmp_path, monkeypatch, parsed):
    """What `data fetch` says is said whole, and is no traceback: once, or where the data at its defaults are
    kept parsed by the check that reads them anew, and of its other choice by the first.
    """
    monkeypatch.setenv("LVMBENCH_CACHE", str(tmp_path / "cache"))
    if parsed:
        load_catalogue().build("dataset", "mnist").load()
    monkeypatch.setenv("LVMBENCH_DATA", str(tmp_path))
    absent = cli("check", "mnist")
    assert (absent.code, absent.out.count("lvmbench data fetch mnist")) == (0, 1)
    files = load_catalogue().entry("dataset", "mnist").load().files
    for file in files:
        (tmp_path / file.path).parent.mkdir(exist_ok=True)
        (tmp_path / file.path).write_bytes(b"cut short")
    wrong, fetched = cli("check", "mnist"), cli("data", "fetch", "mnist")
    message = fetched.err.removeprefix("lvmbench: ").strip()
    assert message.endswith(f"it is downloaded anew from {files[0].url}")
    said = "".join(wrong.out.split())  # a line may end within a word, as a path is one
    assert (wrong.code, said.count("".join(message.split()))) == (1, 1 + parsed)


UNKNOWN = {
    ("nothing",): "No such command 'nothing'; see lvmbench --help",
    ("plna",): "No such command 'plna'. Did you mean 'plan'?; see lvmbench --help",
    ("list", "priors"): "unknown kind 'priors'; did you mean 'prior'",
    ("show", "mixtur"): "unknown component or suite 'mixtur'; did you mean 'mixture'?",
    (
        "show",
        "exact",
        "--kind",
        "prior",
    ): "unknown prior 'exact'; known: ",
    ("plan", "quik"): "unknown suite 'quik'; did you mean 'quick'? (or give the path of a YAML file)",
    (
        "plan",
        "quick",
        "--seedz",
        "3",
    ): "No such option: --seedz (Possible options: --seeds); see lvmbench plan --help",
    ("plan",): "Missing argument 'SUITE'; see lvmbench plan --help",
    ("data", "fetch", "mnst"): "unknown dataset 'mnst'; did you mean 'mnist'?",
    ("data", "fetch", "digits"): "dataset 'digits' has no raw files",
    ("list", "--no-plugin", "referenc"): "--no-plugin: no plugin 'referenc'; did you mean 'reference'?",
    ("list", "--plugin", "none.py"): "--plugin: no file '",
}


@pytest.mark.parametrize("words", UNKNOWN, ids=" ".join)
def test_unknown_names_are_one_line_with_what_was_meant(cli, words):
    shown = cli(*words)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.count("\n") == 1
    assert shown.err.startswith(f"lvmbench: {UNKNOWN[words]}")


# Plans


def test_a_plan_says_what_would_run_what_is_refused_and_why(cli, tiny):
    suite = tiny.write(decoders=["linear_gaussian", "bernoulli"], evaluators=["tightness", "clustering"])
    shown = cli("plan", suite, "--no-estimate", "--out", tiny.folder / "out")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0] == "suite tiny version 1: 2 seeds (0, 1)"
    assert lines[1].startswith(
        "in every row: dataset blobs[test=20,train=60,validation=20]; posterior gaussian["
    )
    assert re.search(r"^mixture\[components=2\] +2 to do +[\d,]+ *$", shown.out, re.MULTILINE)
    assert "in every row" in shown.out
    reason = (
        "decoder 'bernoulli' requires dataset.binary, which dataset 'blobs[test=20,train=60,validation=20]'"
    )
    assert shown.out.count(reason) == 2
    assert lines[-1] == "4 combinations, 2 refused; 4 runs, 0 done"
    assert not (tiny.folder / "out").exists()


def test_a_plan_says_what_is_done_and_what_it_would_cost(cli, tiny):
    tiny.run(priors=["mixture"])
    shown = cli(
        "plan", tiny.write(), "--out", tiny.folder / "out", "--only", "standard_normal", "--seeds", "3"
    )
    totals, cost = shown.out.splitlines()[-2:]
    assert totals == "1 combination; 3 runs, 0 done"
    time = r"(< 1|\d+) s"
    workers = rf"(, {time} in all on \d+ workers)?"
    assert re.fullmatch(rf"training takes at most {time}; measuring (about )?{time}{workers}", cost)
    each = rf"tightness\[repeats=5,samples=20\] 1,500 \((about )?{time}\)"
    assert re.search(rf"^model evaluations to measure: {each}$", shown.out, re.MULTILINE)
    shown = cli("plan", tiny.write(priors=["mixture"]), "--out", tiny.folder / "out", "--seeds", "3")
    assert re.search(r"^2 ok · 1 to do +[\d,]+ +(< 1|\d+) s *$", shown.out, re.MULTILINE)
    assert "1 combination; 3 runs, 2 done" in shown.out


def test_a_plan_reads_the_store_that_it_is_given(cli, tiny):
    url = f"sqlite:///{tiny.folder / 'elsewhere.sqlite'}"
    where = (tiny.write(), "--store", url, "--out", tiny.folder / "out")
    assert "4 runs, 0 done" in cli("plan", *where, "--no-estimate").out
    cli("run", *where, "--jobs", "0")
    assert "4 runs, 4 done" in cli("plan", *where, "--no-estimate").out


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_plan_never_cuts_a_name(cli, monkeypatch, columns):
    monkeypatch.setattr("lvmbench.api.progress.console.width", columns)
    shown = cli("plan", "quick", "--no-estimate")
    table = re.search(r"^ *prior .*?(?=^refused)", shown.out, re.MULTILINE | re.DOTALL).group()
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= columns
    assert columns < 120 or "bernoulli[layers=0]" in table


# Running and reading


@pytest.fixture(scope="module")
def finished(tmp_path_factory, suite):
    """The results of a suite with one combination that is refused; made once, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    changes = {"decoders": ["linear_gaussian", "bernoulli"], "budget": {"epochs": 2, "batch": 20}}
    (folder / "tiny.yaml").write_text(json.dumps({**suite, "priors": ["standard_normal"], **changes}))
    shown = real("run", folder / "tiny.yaml", "--out", folder / "out", "--jobs", "0")
    return folder / "out", shown


@pytest.fixture
def results(finished, tmp_path, monkeypatch):
    hurry(monkeypatch)
    return shutil.copytree(finished[0], tmp_path / "some results")


def test_a_run_from_end_to_end(finished):
    out, shown = finished
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("1 combination to do in this process\n")
    assert "standard_normal" in shown.stdout
    assert "without a result" in shown.stdout
    assert re.search(r"^runs: 2 ok · 2 refused   trained now: 2   [\d.]+ s$", shown.stdout, re.MULTILINE)
    files = (
        "records.csv",
        "measurements.csv",
        "leaderboard.csv",
        "leaderboard.md",
        "store.sqlite",
        "suite.yaml",
    )
    assert all((out / name).is_file() for name in files)
    assert len(list((out / "weights").glob("*.safetensors"))) == 2
    records = pd.read_csv(out / "records.csv")
    assert {*PARTS, "seed", "status", "reason"} <= set(records.columns)
    assert records.status.value_counts().to_dict() == {"ok": 2, "refused": 2}


@pytest.mark.parametrize("columns", [80, 120])
def test_progress_on_a_terminal_keeps_its_bar_beside_a_long_name(columns):
    file = StringIO()
    name = "digits · " + " · ".join(["mixture[components=50,spread=2.0]"] * 5)
    with Live(Console(file=file, force_terminal=True, width=columns)) as live:
        live.start(2, 1)
        live.progress(name, Progress("train", 37, 100, -1234.56))
    lines = Text.from_ansi(file.getvalue()).plain.splitlines()
    (line,) = {line.rstrip() for line in lines if "mixture" in line}
    assert re.search(r"^mixture\[.*… ━.* 37/100 train -1234\.56 nats 0:00:\d\d$", line)
    assert len(line) <= columns


def test_running_again_trains_nothing_and_exits_0(cli, results):
    shown = cli("run", results / "suite.yaml", "--out", results, "--jobs", "0")
    assert shown.code == 0
    assert "trained now: 0" in shown.out
    assert "to do" not in shown.out


def test_status_counts_and_gives_reasons(cli, results):
    shown = cli("status", results)
    assert shown.out.splitlines()[:3] == [
        f"{results}: suite tiny version 1",
        "runs: 2 ok · 2 refused",
        "evaluations: 2 ok",
    ]
    assert shown.out.splitlines()[3].startswith(
        "refused: blobs[test=20,train=60,validation=20] · standard_normal · "
    )
    assert "(seeds 0, 1): decoder 'bernoulli' requires dataset.binary" in shown.out


def test_the_leaderboard_is_written_in_each_format(cli, results):
    table = pd.read_csv(StringIO(cli("leaderboard", results, "--format", "csv").out))
    assert table["elbo[exact]" if "elbo[exact]" in table else "elbo"].notna().sum() == 1
    rows = json.loads(cli("leaderboard", results, "--format", "json").out)
    assert "standard_normal" in json.dumps(rows)
    assert re.search(
        r"^\|.*standard_normal.*\|$", cli("leaderboard", results, "--format", "md").out, re.MULTILINE
    )
    assert r"\begin{tabular}" in cli("leaderboard", results, "--format", "latex").out
    by_time = cli("leaderboard", results, "--metric", "train_seconds")
    assert (by_time.code, by_time.err) == (0, "")
    assert "standard_normal" in by_time.out


def test_a_part_of_the_leaderboard_is_shown_and_by_two_axes(cli, results):
    axes = ("--rows", "prior", "--columns", "decoder")
    for form in ("table", "csv", "md", "json", "latex"):
        shown = cli("leaderboard", results, *axes, "--where", "posterior=*", "--format", form)
        assert (shown.code, shown.err) == (0, "")
        assert "linear" in shown.out
    named = cli("leaderboard", results, "--where", "decoder=linear_gaussian", "--sort", "train_seconds")
    assert "bernoulli" not in named.out


def test_an_evaluator_is_added_without_training(cli, results):
    before = {f.name: f.stat().st_mtime_ns for f in (results / "weights").glob("*.safetensors")}
    shown = cli("evaluate", results, "--evaluator", "informativeness", "--jobs", "0")
    assert (shown.code, shown.err) == (0, "")
    assert "trained now: 0" in shown.out
    assert {f.name: f.stat().st_mtime_ns for f in (results / "weights").glob("*.safetensors")} == before
    assert set(pd.read_csv(results / "measurements.csv").evaluator) == {
        "informativeness",
        "tightness[repeats=5,samples=20]",
    }


def test_retry_redoes_only_what_it_is_asked_to(cli, results):
    assert "trained now: 0" in cli("retry", results, "--jobs", "0").out
    shown = cli("retry", results, "--status", "refused", "--jobs", "0")
    assert (shown.code, shown.err) == (0, "")
    assert "runs: 2 ok · 2 refused   trained now: 2" in shown.out


def test_a_board_is_published_and_can_be_published_again(cli, results, tmp_path):
    target = tmp_path / "boards" / "tiny"
    for _ in range(2):
        assert cli("publish", results, target).out == f"published {results} to {target}\n"
    assert {
        "suite.yaml",
        "records.csv",
        "measurements.csv",
        "leaderboard.csv",
        "leaderboard.md",
        "README.md",
    } <= {file.name for file in target.iterdir()}


def test_a_run_that_fails_is_exit_code_1_and_says_how_to_go_on(cli, tiny):
    plugin, out = tiny.plugin("cli_failing", FAILING), tiny.folder / "out"
    suite = tiny.write(priors=["failing", "standard_normal"], seeds=[0])
    shown = cli("run", suite, "--out", out, "--plugin", plugin, "--jobs", "0")
    assert (shown.code, shown.err) == (1, "")
    assert "1 failed" in shown.out
    assert "RuntimeError: no prior today" in shown.out
    assert "runs: 1 ok · 1 failed   trained now: 2" in shown.out
    assert (
        f"what failed: lvmbench status {out} --traceback   redo it: lvmbench retry {out} --plugin {plugin}"
        in shown.out
    )
    status = cli("status", out, "--traceback").out
    assert 'raise RuntimeError("no prior today")' in status
    assert status.endswith(f"redo what failed: lvmbench retry {out} --plugin {plugin}\n")
    (tiny.folder / "mended").touch()
    shown = cli("retry", out, "--jobs", "0", "--plugin", plugin)
    assert (shown.code, "runs: 2 ok   trained now: 1" in shown.out) == (0, True)


def test_what_is_interrupted_can_be_finished_as_the_status_says(cli, tiny):
    out = tiny.folder / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lvmbench.execution.worker.train_job", interrupt)
        shown = cli("run", tiny.write(seeds=[0]), "--out", out, "--jobs", "0", "--only", "mixture")
    assert shown.code == 130
    assert "interrupted; what is finished is kept" in shown.out
    line = cli("status", out).out.splitlines()[-1]
    assert line == f"1 run unfinished: lvmbench retry {out} --status interrupted"
    assert "runs: 1 ok   trained now: 1" in cli(*line.split()[4:], "--jobs", "0").out


def interrupt(job, progress):
    raise KeyboardInterrupt


# What a command refuses


NOT_RESULTS = [
    ("status",),
    ("leaderboard",),
    ("retry",),
    ("publish", "target"),
    ("evaluate", "--evaluator", "tightness"),
]


@pytest.mark.parametrize("words", NOT_RESULTS, ids=lambda w: w[0])
@pytest.mark.parametrize("what", ["missing", "empty", "file"])
def test_a_folder_without_results_is_one_line(cli, tmp_path, words, what):
    folder = tmp_path / what
    folder.touch() if what == "file" else folder.mkdir() if what == "empty" else None
    shown = cli(words[0], folder, *words[1:])
    assert (shown.code, shown.out) == (2, "")
    assert shown.err == (
        f"lvmbench: '{folder}' holds no results (it has no suite.yaml); make some with lvmbench "
        "run SUITE --out DIR\n"
    )


@pytest.mark.parametrize("words", [w for w in NOT_RESULTS if w[0] != "publish"], ids=lambda w: w[0])
def test_no_store_is_made_where_there_are_no_results(cli, tiny, words):
    (tiny.folder / "suite.yaml").write_text(tiny.write().read_text())
    before = sorted(tiny.folder.iterdir())
    assert "holds no results (it has no store.sqlite)" in cli(words[0], tiny.folder, *words[1:]).err
    assert sorted(tiny.folder.iterdir()) == before


REFUSED = [
    (("leaderboard", "--metric", "elbow"), "no metric 'elbow' was measured; did you mean 'elbo"),
    (("leaderboard", "--split", "tst"), "split: nothing was measured on 'tst'; did you mean 'test'?"),
    (("leaderboard", "--format", "xml"), "Invalid value for '--format': "),
    (
        ("leaderboard", "--where", "prior=vamp"),
        "--where prior=vamp: no run that is left is like that; prior is standard",
    ),
    (("leaderboard", "--sort", "elbow"), "--sort elbow: no such figure is on this board; did you mean 'elbo"),
    (("leaderboard", "--rows", "prior"), "--rows and --columns go together"),
    (("leaderboard", "--rows", "prior", "--columns", "priors"), "--columns priors: nothing of that name"),
    (("effects", "--metric", "elbow"), "no metric 'elbow' was measured; did you mean 'elbo"),
    (("effects",), "no effects: in no table was a part exchanged in two combinations or more"),
    (("compare", "standard_normal", "prior=standard*"), "A and B are the same 4 runs: 'standard_normal' and"),
    (("compare", "vamp", "mixture"), "A 'vamp': no run has a part 'vamp'; "),
    (("compare", "mixture", "standard_normal", "--metric", "elbow"), "no metric 'elbow' was measured; did"),
    (("compare", "mixture", "standard_normal", "--where", "prior=vamp"), "--where prior=vamp: no run that"),
    (("compare", "mixture", "standard_normal", "--equal-within", "-1"), "Invalid value for '--equal-within'"),
    (("retry", "--status", "fail"), "--status: no run can be retried for 'fail'; did you mean 'failed'?"),
    (
        ("evaluate", "--evaluator", "tight"),
        "--evaluator: unknown evaluator 'tight'; did you mean 'tightness'?",
    ),
    (
        ("evaluate", "--evaluator", "tightness[samples=0]"),
        "--evaluator: evaluator 'tightness': option 'samples' should",
    ),
    (("evaluate", "--evaluator", "tightness["), "--evaluator: 'tightness[' is not a name"),
    (("retry", "--device", "cuda:99"), "--device: 'cuda:99' is absent, "),
    (("retry", "--jobs", "-1"), "Invalid value for '--jobs': "),
    (("status", "--store", "nonsense"), "the store "),
]


@pytest.mark.parametrize(
    ("words", "message"), REFUSED, ids=lambda w: " ".join(w) if isinstance(w, tuple) else ""
)
def test_a_wrong_option_of_a_command_is_one_line_and_changes_nothing(cli, results, words, message):
    before = content(results)
    shown = cli(words[0], results, *words[1:])
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert shown.err.startswith(f"lvmbench: {message}")
    assert content(results) == before


def content(results):
    """The files of results, and every row of their store."""
    files = [file for file in results.rglob("*") if file.is_file() and "store.sqlite" not in file.name]
    with contextlib.closing(sqlite3.connect(results / "store.sqlite")) as store:
        return {file: file.read_bytes() for file in files}, list(store.iterdump())


def test_help_and_lists_survive_a_reader_that_stops(tmp_path):
    call = f"{shlex.quote(sys.executable)} -m lvmbench list --json | head -n 1"
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_show_says_what_goes_with_a_component_and_why_not(show):
    shown = show("bernoulli")
    assert shown.code == 0
    assert re.search(r"^goes with posterior: .*\bgaussian\b", shown.out, re.MULTILINE)
    assert re.search(r"^  not with gaussian \(gaussian requires prior.real\)", shown.out, re.MULTILINE)


def test_show_names_the_boards_that_a_component_is_on(show, tmp_path, monkeypatch):
    board = tmp_path / "leaderboards" / "mine"
    board.mkdir(parents=True)
    (board / "records.csv").write_text("prior,seed\nmixture[components=3],0\n")
    monkeypatch.chdir(tmp_path)
    assert "boards: leaderboards/mine" in show("mixture").out
    assert "boards" not in show("standard_normal").out
