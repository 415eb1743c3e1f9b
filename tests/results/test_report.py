"""The report: one file that asks for nothing, says all that the board does, and shows names as such."""

import re
import shutil
from html import escape, unescape
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import pandas as pd
import pytest

import lvmbench
from lvmbench.api import report
from lvmbench.api.report import write_report
from lvmbench.execution.local import LocalExecutor
from lvmbench.results.report.anchors import combination_anchors, component_anchor
from lvmbench.results.report.svg import inline
from tests.results.test_leaderboard import measured, run

SCRIPT, ARABIC, SIGNS = "<script>alert(1)</script>", "عمر", "$a_1$ 100%"
NAMES = (SCRIPT, ARABIC, SIGNS)
SUITE = "suite: demo\nversion: 1\n"
REASON = "posterior 'exact' needs prior.enumerable & <more>"


def write(directory, runs):
    """A folder of results, as a published board is one."""
    directory.mkdir()
    figures = [row for record, level in runs if record["status"] == "ok" for row in measured(record, level)]
    columns = list(next(iter(measured(runs[0][0], 0.0))))
    pd.DataFrame([record for record, _ in runs]).to_csv(directory / "records.csv", index=False)
    pd.DataFrame(figures, columns=columns).to_csv(directory / "measurements.csv", index=False)
    (directory / "suite.yaml").write_text(SUITE)
    return directory


def odd_runs(seeds=3):
    """Priors with odd names by two posteriors; one is refused, and one seed of another fails."""
    for i, prior in enumerate((*NAMES, "vamp[components=50]")):
        for j, posterior in enumerate(("gaussian", "iaf[flows=2]", "exact")):
            for seed in range(seeds):
                level = -80.0 - 3 * i - j + 0.1 * seed
                if posterior == "exact":
                    yield run(prior, posterior, seed, "refused", REASON), level
                elif (prior, posterior, seed) == (ARABIC, "gaussian", 1):
                    yield run(prior, posterior, seed, "failed", f"RuntimeError: {SCRIPT}"), level
                else:
                    yield run(prior, posterior, seed), level


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The file of a report with odd names in it."""
    directory = write(tmp_path_factory.mktemp("report") / "odd", list(odd_runs()))
    return lvmbench.load(directory).report()


class Elements(HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.asked, self.script = [], [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []
        self.asked += [value for name, value in attrs if name in ("src", "xlink:href", "srcset", "data")]


def test_the_page_is_whole_and_asks_for_nothing(page):
    text = page.read_text(encoding="utf-8")
    found = Elements(text)
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links} <= set(found.ids)
    assert [value for value in found.asked if not value.startswith(("#", "data:"))] == []
    assert not re.search(r"@import|url\((?!#)", text.partition("</style>")[0])
    assert "default-src 'none'" in text


def test_names_and_reasons_are_shown_as_they_are(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("<script>") == 3  # its own
    assert all(name in unescape(text) for name in (*NAMES, REASON))


def test_every_component_combination_and_ending_is_there(page):
    text = page.read_text(encoding="utf-8")
    ids, records = Elements(text).ids, lvmbench.load(page.parent).records
    anchors = combination_anchors(records)
    assert set(anchors) <= set(ids)
    assert anchors.nunique() == len(records[["prior", "posterior"]].drop_duplicates())
    for kind in ("prior", "posterior", "decoder"):
        assert {component_anchor(kind, name) for name in records[kind]} <= set(ids)
    assert "RuntimeError: &lt;script&gt;" in text


def test_anchors_stay_whatever_else_is_there():
    alone = pd.DataFrame([run("vamp", "gaussian", 0)])
    beside = pd.DataFrame([run(SCRIPT, "exact", 0, "refused", "no"), run("vamp", "gaussian", 0, latent=16)])
    assert combination_anchors(alone)[0] == combination_anchors(beside)[1]


def test_trained_models_are_shown(tiny):
    tiny.run(priors=["standard_normal", "vamp[components=2]"], seeds=[0])
    text = lvmbench.load(tiny.folder / "out").report().read_text(encoding="utf-8")
    models = text[text.index('id="models"') : text.index('id="training"')]
    keys = tiny.frame()["key"]
    assert [f'id="model-{key[:12]}"' in models for key in keys] == [True, True]
    assert models.count(">samples<") >= 2
    assert "could not be drawn" not in models


def test_a_report_is_the_same_wherever_its_models_are_asked(tiny):
    tiny.run(priors=["standard_normal", "vamp[components=2]"], seeds=[0])
    results, file = lvmbench.load(tiny.folder / "out"), tiny.folder / "report.html"
    with LocalExecutor(2) as executor:
        write_report(results, file, executor)
    texts = [path.read_text(encoding="utf-8") for path in (file, results.report())]
    one, other = (re.sub(r"\d\d:\d\d UTC", "", text) for text in texts)
    assert one == other


def test_a_model_that_ends_its_process_costs_its_own_pictures(tiny, monkeypatch):
    tiny.run(seeds=[0])
    monkeypatch.setattr(report, "ENTRIES", "tests.faults.jobs:leave")
    with LocalExecutor(1) as executor:
        write_report(lvmbench.load(tiny.folder / "out"), tiny.folder / "report.html", executor)
    text = unescape((tiny.folder / "report.html").read_text(encoding="utf-8"))
    assert text.count("It cannot be shown: the worker process ended by itself (exit code 3).") == 2
    assert 'id="components"' in text


def test_lost_weights_are_said(tiny):
    tiny.run(seeds=[0])
    shutil.rmtree(tiny.folder / "out" / "weights")
    text = lvmbench.load(tiny.folder / "out").report().read_text(encoding="utf-8")
    assert "It cannot be shown: the weights" in unescape(text)


def test_a_report_of_failed_runs_alone_says_so(tmp_path):
    runs = [(run("vamp", "gaussian", seed, "failed", "boom"), 0.0) for seed in range(2)]
    text = lvmbench.load(write(tmp_path / "failed", runs)).report().read_text(encoding="utf-8")
    assert "No run gave a result (2 failed)" in text
    assert text.count("boom") >= 1


def test_an_empty_directory_is_one_line(tmp_path, cli):
    shown = cli("report", tmp_path)
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert "holds no results" in shown.err


def test_the_command_writes_where_it_is_told(page, tmp_path, cli):
    shown = cli("report", page.parent, "--out", tmp_path / "page.html")
    assert (shown.code, shown.out) == (0, f"wrote {tmp_path / 'page.html'}\n")
    assert (tmp_path / "page.html").stat().st_size > 100_000


def test_a_single_seed_is_reported_without_intervals(tmp_path):
    text = lvmbench.load(write(tmp_path / "one", list(odd_runs(seeds=1)))).report().read_text()
    assert "How sure that is cannot be said of a single seed" in text
    assert "nan" not in unescape(re.sub(r"<[^>]*>", " ", text)).lower().split()


def test_what_is_written_in_a_figure_stays_as_it_is() -> None:
    figure, axes = plt.subplots()
    words = ["-18.5394 \u00b1 0.0264", "#ffffff", 'id="p', 'a < 1.23456 > "b"']
    for i, text in enumerate(words):
        axes.text(0.1, i / 5, text)
    drawn = str(inline(figure, "one", "words"))
    plt.close(figure)
    shown = [text for _, text in re.findall(r"<text([^>]*)>([^<]*)</text>", drawn)]
    assert all(escape(text, quote=False) in shown for text in words)
    assert "#ffffff" not in "".join(re.findall(r"<[^>]*>", drawn))
    assert not re.search(r"\d\.\d{3}", "".join(re.findall(r"<[^>]*>", drawn)))
