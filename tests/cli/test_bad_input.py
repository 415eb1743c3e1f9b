"""What hostile or careless users give: one line with place, rule and remedy, and nothing lost."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import lvmbench
from tests.conftest import hurry

RESULTS = (
    "records.csv",
    "measurements.csv",
    "evaluations.csv",
    "leaderboard.csv",
    "leaderboard.md",
    "suite.yaml",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, suite):
    """Results that no bad input may touch; made once."""
    folder = tmp_path_factory.mktemp("trained")
    keys = {**suite, "priors": ["standard_normal"], "seeds": [0], "budget": {"epochs": 1, "batch": 20}}
    (folder / "suite.yaml").write_text(json.dumps(keys))
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        found = lvmbench.run(folder / "suite.yaml", folder / "out", jobs=0, progress=False)
    assert list(found.records["status"]) == ["ok"]
    return folder / "out"


@pytest.fixture
def bench(cli, tiny, trained):
    """Run a suite of the tiny one's keys, each on a line, into a folder that holds its results already."""
    out = shutil.copytree(trained, tiny.folder / "out")

    def bench(*words, text=None, **changes):
        path = tiny.folder / "bad.yaml"
        keys = {**json.loads((out / "suite.yaml").read_text()), **changes}
        if text is None:
            text = "".join(f"{k}: {v if isinstance(v, str) else json.dumps(v)}\n" for k, v in keys.items())
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return cli("run", path, "--out", out, "--jobs", "0", *words)

    bench.out, bench.file, bench.content = out, tiny.folder / "bad.yaml", lambda: content(out)
    return bench


def content(out):
    """The tables and weights of a results directory."""
    files = [out / name for name in RESULTS] + sorted(out.glob("weights/**/*.safetensors"))
    return {file: file.read_bytes() for file in files}


def assert_refused(bench, message, *words, **changes):
    """One line on stderr, exit code 2, and the results as they were."""
    before = bench.content()
    shown = bench(*words, **changes)
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    line = shown.err.removesuffix("\n").removeprefix("lvmbench: ").replace(f"{bench.file}:", "FILE:")
    assert line.isprintable()
    assert re.match(message, line), line
    assert bench.content() == before


# Suites


SUITES = {
    "unknown component": (
        {"priors": "[mixtur]"},
        r"FILE:4:10: unknown prior 'mixtur'; did you mean 'mixture'\?",
    ),
    "unknown option of what a component is made of": (
        {"posteriors": "['denoising[base=gaussian[size=2]]']"},
        r"FILE:5:14: posterior 'denoising': option 'base': posterior 'gaussian' has no option 'size'",
    ),
    "unknown option": (
        {"priors": "['mixture[size=2]']"},
        r"FILE:4:10: prior 'mixture' has no option 'size'; known: ",
    ),
    "wrong type": (
        {"priors": "[mixture: {components: many}]"},
        r"FILE:4:20: prior 'mixture': option 'components' should be",
    ),
    "wrong range": (
        {"priors": "['mixture[components=-3]']"},
        r"FILE:4:10: prior 'mixture': option .* 1, got -3",
    ),
    "bare NaN": (
        {"priors": "['mixture[spread=NaN]']"},
        r"FILE:4:10: prior 'mixture': option 'spread' should be .* got 'NaN'",
    ),
    "infinite": (
        {"priors": "[mixture: {spread: .inf}]"},
        r"FILE:4:20: prior 'mixture': option 'spread' should be .* got inf",
    ),
    "syntax": (
        {"priors": "[standard_normal"},
        r"FILE:5:11: not YAML: while parsing a flow sequence of line 4",
    ),
    "tabs": ({"budget": "\n\tepochs: 3"}, r"FILE:10:1: not YAML: .*'\\t' that cannot start any token"),
    "duplicate key": (
        {"budget": "{epochs: 1, epochs: 2}"},
        r"FILE:9:21: key 'epochs' is given twice; remove one",
    ),
    "unknown key": ({"epochs": 3}, r"FILE:12:1: unknown key 'epochs'; known: "),
    "empty grid": (
        {"exclude": "[{prior: standard_normal}]"},
        r"FILE: the grid is empty: exclude leaves no",
    ),
    "lacking axis": ({"priors": ""}, r"FILE:1:1: the grid is empty: it lacks priors; give them"),
    "seed twice": ({"seeds": [4, 4]}, r"FILE:10:8: seeds: gives seed 4 twice; remove one"),
    "no seeds": ({"seeds": 0}, r"FILE:10:8: seeds: should be greater than or equal to 1 \(got 0\)"),
    "huge seed": (
        {"seeds": [10**30]},
        r"FILE:10:9: seeds.0: should be less than 9223372036854775808 \(got 1000",
    ),
    "a seed meant as one": (
        {"seeds": 123456},
        r"FILE:10:8: seeds: should be less than or equal to 10000 \(got 123456\)",
    ),
    "negative latent": ({"latent": -2}, r"FILE:8:9: latent: should be greater than or equal to 1 \(got -2\)"),
    "slash in the name": ({"suite": "../../etc"}, r"FILE:1:8: suite: should be letters, digits"),
    "unknown metric": (
        {"metric": "elboo"},
        r"FILE:12:9: metric: no evaluator of the suite measures 'elboo'; did you",
    ),
    "alias of itself": (
        {"exclude": "&a [{prior: *a}]"},
        r"FILE:12:15: exclude\.0\.prior: should be one component, as name",
    ),
    "alias of all": (
        {"text": "&all\nsuite: x\nexclude: [*all]\n"},
        r"FILE: nests too deep, maybe by an alias",
    ),
    "undefined alias": ({"priors": "*lost"}, r"FILE:4:9: not YAML: found undefined alias 'lost'"),
    "merged": (
        {"budget": "{<<: {epochs: none}}"},
        r"FILE:9:9: budget.epochs: should be a whole number \(got 'none'\)",
    ),
    "two documents": (
        {"text": "suite: x\n---\nsuite: y\n"},
        r"FILE:2:1: not YAML: expected a single document",
    ),
    "empty file": ({"text": ""}, r"FILE:1:1: a suite is a mapping of keys"),
    "binary file": ({"text": bytes(range(256))}, r"FILE: cannot be read: 'utf-8' codec can't decode"),
    "terminal codes": (
        {"priors": '["\\e[2J\\nmixture"]'},
        r"FILE:4:10: '\\x1b\[2J mixture' is not a name; write name or",
    ),
    "name that never ends": (
        {"priors": "[" + "x" * 9000 + "]"},
        r"FILE:4:10: unknown prior 'x{60}…'; known: associative, autoregressive, ",
    ),
    "foreign letters": ({"priors": "[größe]"}, r"FILE:4:10: unknown prior 'größe'; known: "),
    "tag": (
        {"latent": "!!python/object/apply:os.system [ls]"},
        r"FILE:8:9: latent\.0: should be a whole number",
    ),
}


@pytest.mark.parametrize("case", SUITES)
def test_a_bad_suite_is_one_line(bench, case):
    changes, message = SUITES[case]
    assert_refused(bench, message, **changes)


def test_a_process_says_the_same_line_and_ends_with_2(tmp_path):
    (tmp_path / "bad.yaml").write_text("suite: x\nsuite: y\n")
    call = [sys.executable, "-m", "lvmbench", "run", "bad.yaml", "--out", "out"]
    done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lvmbench: bad.yaml:2:1: key 'suite' is given twice; remove one\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--device", "cuda:9"), r"--device: 'cuda:9' is absent, \d+ CUDA devices are here; use auto or cpu"),
        (("--device", "abacus"), r"--device: 'abacus' is no device; use auto, cpu"),
        (("--seeds", "0"), r"Invalid value for '--seeds': .*; see lvmbench run --help"),
        (("--seeds", "99999"), r"Invalid value for '--seeds': .*; see lvmbench run --help"),
        (("--jobs", "two"), r"Invalid value for '--jobs': .*; see lvmbench run --help"),
        (("--timeout", "0"), r"Invalid value for '--timeout': .*; see lvmbench run --help"),
        (
            ("--only", "vamp"),
            r"--only: no combination of '.*bad.yaml' matches vamp; lvmbench plan shows them all",
        ),
        (("--plugin", "none.py"), r"--plugin: no file '.*none.py'; give a .py file"),
        (("--no-plugin", "reference"), r"FILE:3:12: unknown dataset 'blobs'; known: none"),
        (
            ("--store", "sqlite:////nowhere/at/all.db"),
            r"the store sqlite:////nowhere/at/all.db cannot be used: ",
        ),
        (("--store", "mysterious://x"), r"the store .* cannot be used: "),
        (
            ("--out", "x" * 3000),
            r"--out: 'x{52}.* is not writable: File name too long; give another directory",
        ),
    ],
)
def test_a_bad_option_of_run_is_one_line(bench, words, message):
    assert_refused(bench, message, *words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens where CUDA is absent")
def test_cuda_where_it_is_absent_is_one_line(bench):
    assert_refused(
        bench, "--device: 'cuda' is absent, 0 CUDA devices are here; use auto or cpu", "--device", "cuda"
    )


@pytest.mark.parametrize("below", ["", "/deep/er"])
def test_an_out_that_is_a_file_is_one_line(bench, tiny, below):
    (tiny.folder / "file").write_text("mine")
    message = r"--out: '.*file.*' is not writable: (File exists|Not a directory); give another directory"
    assert_refused(bench, message, "--out", f"{tiny.folder / 'file'}{below}")
    assert (tiny.folder / "file").read_text() == "mine"


@pytest.mark.parametrize("changes", [{"suite": "other"}, {"version": 2}])
def test_the_results_of_another_suite_are_left_alone(bench, changes):
    assert_refused(
        bench,
        r"the store .* holds suite 'tiny' version 1, not '\w+' version \d; give another --out",
        **changes,
    )


def test_a_broken_store_is_one_line(bench):
    (bench.out / "store.sqlite").write_bytes(b"not a database at all" * 99)
    assert_refused(bench, r"the store .*store.sqlite cannot be used: file is not a database")


def test_the_results_of_another_suite_in_one_folder_are_not_mixed(bench, tiny, cli):
    shown = bench(priors=["mixture[components=2]"])
    assert shown.code == 0
    records = pd.read_csv(bench.out / "records.csv")
    assert sorted(records.prior) == ["mixture[components=2]", "standard_normal"]


def test_an_out_with_spaces_brackets_and_signs_is_a_folder_like_any_other(cli, tiny):
    out = tiny.folder / "a [bold]b[/bold] :smile: ?#% ü"
    suite = tiny.write(priors=["standard_normal"], seeds=[0])
    shown = cli("run", suite, "--out", out, "--jobs", "0")
    assert (shown.code, shown.err) == (0, "")
    assert f"wrote to {out}/: leaderboard.md" in shown.out
    assert cli("status", out).out.startswith(f"{out}: suite tiny")
    assert cli("leaderboard", out, "--format", "csv").code == 0


@pytest.mark.parametrize("name", ["with space.csv", "br[ack]et,comma=1.csv", 'quo"te\\.csv', "ü.csv"])
def test_an_option_of_any_text_comes_back_from_every_table(cli, tiny, name):
    table = tiny.folder / name
    table.write_text("a,b\n" + "".join(f"{i},{i % 7}.5\n" for i in range(60)))
    suite = tiny.write(datasets=[{"table": {"path": str(table)}}], priors=["standard_normal"], seeds=[0])
    out = tiny.folder / "out"
    assert cli("run", suite, "--out", out, "--jobs", "0").code == 0
    (written,) = pd.read_csv(out / "records.csv").dataset
    again = tiny.write(datasets=[written], priors=["standard_normal"], seeds=[0])
    shown = cli("run", again, "--out", out, "--jobs", "0")
    assert (shown.code, "runs: 1 ok   trained now: 0" in shown.out) == (0, True)


def test_a_model_that_fits_no_memory_fails_alone(cli, tiny):
    suite = tiny.write(priors=["standard_normal"], seeds=[0], latent=10**15)
    shown = cli("run", suite, "--out", tiny.folder / "out", "--jobs", "0")
    assert (shown.code, shown.err) == (1, "")
    assert "runs: 1 oom   trained now: 1" in shown.out


# Tables of the user's own


ROWS = "".join(f"{i},{i % 7 / 7}\n" for i in range(40))
TABLES = {
    "missing": (None, r"FILE:3:12: table '.*t.csv': no such file below '.*'; give its path with path="),
    "empty": ("", r"FILE:3:12: table '.*t.csv' cannot be read \(EmptyDataError"),
    "header only": ("a,b\n", r"FILE:3:12: table '.*t.csv' is empty"),
    "truncated": (
        "a,b\n" + ROWS + "40",
        r"FILE:3:12: table '.*t.csv': column 'b' has 1 rows without a value, .*missing=nan",
    ),
    "NaN": (
        "a,b\n" + ROWS.replace("7,0.0\n", "7,nan\n", 1),
        r"FILE:3:12: table '.*t.csv': column 'b' has 1 rows",
    ),
    "infinite": (
        "a,b\n" + ROWS.replace("7,0.0\n", "7,inf\n", 1),
        r"FILE:3:12: table '.*t.csv': column 'b' has 1 rows",
    ),
    "text": (
        "a,b\n" + ROWS + "1,rose\n",
        r"FILE:3:12: table '.*t.csv': column 'b' is not numeric, row 41 holds 'rose'",
    ),
    "without names": (
        ROWS,
        r"FILE:3:12: table '.*t.csv' starts with a row of numbers \(0, ...\); say header=true if",
    ),
    "constant": ("a,b\n" + "1,2\n" * 40, r"FILE:3:12: table '.*t.csv' is constant"),
    "too short": ("a,b\n1,2\n", r"FILE:3:12: table '.*t.csv': 1 rows make "),
    "not text": (bytes(range(256)), r"FILE:3:12: table '.*t.csv' cannot be read "),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_bad_table_is_one_line_with_the_place_of_the_data_set(bench, tiny, case):
    text, message = TABLES[case]
    path = tiny.folder / "t.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert_refused(bench, message, datasets=[f"table[path={path}]"])


def test_a_truncated_archive_is_one_line(bench, tiny):
    path = tiny.folder / "t.npz"
    np.savez(path, x=np.random.default_rng(0).normal(size=(50, 3)))
    path.write_bytes(path.read_bytes()[:-200])
    assert_refused(
        bench,
        r"FILE:3:12: table '.*t.npz' is not an .npz archive, or is cut short; write it with",
        datasets=[f"table[path={path}]"],
    )


def test_values_outside_of_the_support_are_refused_and_recorded(cli, tiny):
    path = tiny.folder / "t.csv"
    path.write_text("a,b\n" + "".join(f"{i % 3},{i % 2}\n" for i in range(60)))
    suite = tiny.write(
        datasets=[f"table[path={path}]"], priors=["standard_normal"], decoders=["bernoulli"], seeds=[0]
    )
    shown = cli("run", suite, "--out", tiny.folder / "out", "--jobs", "0")
    reason = (
        r"decoder 'bernoulli' requires dataset.binary, which dataset 'table.*' with values from 0 to 2 does "
        r"not provide \(it provides complete, count, levels\)"
    )
    assert shown.code == 2
    assert re.search(f"nothing can run, every combination is refused: {reason}$", shown.err.strip())
    (record,) = pd.read_csv(tiny.folder / "out" / "records.csv").to_dict("records")
    assert record["status"] == "refused"
    assert re.fullmatch(reason, record["reason"])


# Plugins


HOOK = "import lvmbench\n\n@lvmbench.hookimpl\ndef lvmbench_register(register):\n    "
PLUGINS = {
    "fails to import": ("import no_such_module_anywhere", "import: ModuleNotFoundError"),
    "is not Python": ("def (:", "import: SyntaxError"),
    "exits": ("raise SystemExit(0)", "import: SystemExit"),
    "takes a name": (
        HOOK + "register.prior('mixture', 'a:B')",
        "register: ValueError: prior 'mixture' is already registered",
    ),
    "misspells the hook": (
        HOOK.replace("_register(", "_regster("),
        "unknown-hook: there is no hook 'lvmbench_regster'; did",
    ),
    "has another signature": (
        HOOK.replace("(register)", "(registry)") + "pass",
        "validate: PluginValidationError",
    ),
}


@pytest.mark.parametrize("case", PLUGINS)
def test_a_bad_plugin_is_a_warning_and_the_rest_works(bench, cli, tiny, case):
    source, problem = PLUGINS[case]
    name = "bad_plugin_" + case.replace(" ", "_")
    plugin = tiny.plugin(name, source + "..." * source.endswith("    "))
    for words in (("list",), ("plan", bench.out / "suite.yaml", "--no-estimate")):
        shown = cli(*words, "--plugin", plugin)
        assert (shown.code, shown.err.count("\n")) == (0, 1)
        assert re.match(rf"warning: plugin '{name}' \(.*\), {re.escape(problem)}", shown.err)
    shown = bench("--plugin", plugin)
    assert (shown.code, shown.err.count("\n")) == (0, 1)
    listed = cli("plugins", "--plugin", plugin)
    assert (listed.code, listed.err) == (0, "")
    assert re.search(rf"^problem: plugin '{name}' \(.*\), {re.escape(problem)}", listed.out, re.MULTILINE)
    assert "Traceback" not in listed.out


COMPONENTS = """
import torch

import lvmbench
from lvmbench import DiagonalNormal
from lvmbench_plugins.priors.standard_normal import StandardNormal


class Raises(StandardNormal):
    def forward(self, model):
        raise RuntimeError("not\\ntoday")


class RaisesLate(StandardNormal):
    def forward(self, model):
        if torch.is_grad_enabled():
            raise KeyError("late")
        return super().forward(model)


class WrongShape(StandardNormal):
    def forward(self, model):
        return Flat(self.zeros, self.zeros)


class Flat(DiagonalNormal):
    def log_prob(self, value):
        return super().log_prob(value).sum(0)


class NotANumber(StandardNormal):
    def forward(self, model):
        return DiagonalNormal(self.zeros * torch.nan, self.zeros)


@lvmbench.hookimpl
def lvmbench_register(register):
    for part in (Raises, RaisesLate, WrongShape, NotANumber):
        register.prior(part.__name__, part)
"""


def test_components_that_fail_in_training_are_recorded_and_the_others_go_on(cli, tiny):
    plugin, out = tiny.plugin("bad_components", COMPONENTS), tiny.folder / "out"
    priors = ["Raises", "RaisesLate", "WrongShape", "NotANumber", "standard_normal"]
    shown = cli("run", tiny.write(priors=priors), "--out", out, "--plugin", plugin, "--jobs", "0")
    assert (shown.code, shown.err) == (1, "")
    assert re.search(r"^runs: 2 ok · 6 failed · 2 diverged   trained now: 10", shown.out, re.MULTILINE)
    records = tiny.frame(details=True).set_index("prior")
    assert records.status.groupby("prior").unique().map(list).to_dict() == {
        "Raises": ["failed"],
        "RaisesLate": ["failed"],
        "WrongShape": ["failed"],
        "NotANumber": ["diverged"],
        "standard_normal": ["ok"],
    }
    reasons = {prior: set(found) for prior, found in records.reason.groupby("prior")}
    assert reasons["Raises"] == {"RuntimeError: not today"}
    assert reasons["RaisesLate"] == {"KeyError: 'late'"}
    assert "the prior's log density has shape" in min(reasons["WrongShape"])
    failed = records[records.status == "failed"].traceback
    assert failed.str.startswith("Traceback (most recent call last)").all()
    assert failed["Raises"].str.contains('raise RuntimeError("not\\ntoday")', regex=False).all()
    assert tiny.frame("measurements").prior.unique().tolist() == ["standard_normal"]
