"""What figures are called, and which of them boards show."""

import pandas as pd
import pytest

from lvmbench import Metric
from lvmbench.evaluator import Evaluator
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.results.board import leaderboard
from lvmbench.results.figures import figure_name
from lvmbench.results.folder import board_of
from lvmbench.results.glossary import declared, keep, kept, told
from lvmbench.results.markdown import to_markdown
from tests.results.test_effects import GRID, additive, results


class Bounds(Evaluator):
    """Bounds."""

    metrics = {  # noqa: RUF012
        "log_p": Metric("log p(x)", "nats", "higher", "log density of the data"),
        "elbo": Metric("ELBO", "nats", "higher", "evidence lower bound"),
        "rate": Metric("Rate", "nats", "neither", "what z says of x"),
    }
    board = ("elbo", "log_p[b]")

    def evaluate(self, subject):
        raise NotImplementedError


class Silent(Bounds):
    """An evaluator that names nothing for boards."""

    metrics = {  # noqa: RUF012
        "steps": Metric("Steps", "steps", "neither", "how many"),
        "speed": Metric("Speed", "1/s", "higher", "how fast"),
    }
    board = ()


SAID = declared({"bounds": Bounds, "silent": Silent})


def measured(*figures):
    """Records and measurements of figures ``(metric, variant, method, evaluator)`` of the same runs."""
    records, elbo = results(additive, **GRID)
    rows = [
        elbo.assign(metric=metric, variant=variant, method=method, evaluator=evaluator)
        for metric, variant, method, evaluator in figures
    ]
    better = {row.metric: row.better for row in SAID.itertuples()}
    measurements = pd.concat(rows, ignore_index=True)
    return records, told(measurements.assign(better=measurements["metric"].map(better)), SAID)


def headers(*figures, **options):
    board = leaderboard(*measured(*figures), **options)
    return [board.called(name) for name in board.headline]


PLAIN = ("elbo", "", "", "bounds")


@pytest.mark.parametrize(
    ("figures", "shown"),
    [
        ([PLAIN], ["ELBO"]),
        ([("log_p", "", "a", "bounds")], ["log p(x)"]),  # one method is no other's rival
        ([("elbo", "per_step", "", "bounds")], ["ELBO"]),
        ([PLAIN, ("log_p", "", "a", "bounds"), ("log_p", "", "b", "bounds")], ["ELBO", "log p(x)"]),
        ([PLAIN, ("speed", "", "", "silent"), ("steps", "", "", "silent")], ["ELBO", "Speed"]),
    ],
)
def test_variants_and_settings_appear_only_where_two_would_be_confused(figures, shown):
    assert headers(*figures) == shown


def test_a_variant_that_is_shown_is_told_from_one_that_is_not():
    """It is another quantity, and a reader would take it for the plain one."""
    figures = [PLAIN, ("elbo", "per_step", "", "bounds")]
    assert headers(*figures, metric="elbo[per_step]", columns=["rate"]) == ["ELBO, per step"]


def test_methods_and_settings_that_are_shown_together_are_told_apart():
    methods = [("log_p", "", method, "bounds") for method in ("a", "b_c")]
    assert headers(*methods, columns=["log_p[a]", "log_p[b_c]"]) == ["log p(x), a", "log p(x), b c"]
    settings = [("elbo", "", "", evaluator) for evaluator in ("bounds[draws=5]", "bounds[draws=9]", "other")]
    names = [figure_name("elbo") + f"@{evaluator}" for *_, evaluator in settings]
    assert headers(*settings[:2], columns=names[:2]) == ["ELBO, draws=5", "ELBO, draws=9"]


def test_a_board_shows_what_the_suite_names_in_its_order_and_says_what_is_missing():
    figures = [PLAIN, ("rate", "", "", "bounds"), ("log_p", "", "a", "bounds")]
    board = leaderboard(*measured(*figures), columns=["log_p", "mystery", "rate"])
    assert board.headline == ["elbo", "log_p[a]", "rate"]
    assert board.missing == ["mystery"]
    assert "asks for mystery, which was not measured" in to_markdown(board)


def test_the_figure_that_ranks_may_be_asked_for_by_its_title():
    figures = [PLAIN, ("log_p", "", "a", "bounds"), ("log_p", "", "b", "bounds")]
    assert leaderboard(*measured(*figures), metric="LOG P(X)").metric == "log_p[b]"


def test_rows_may_be_ordered_by_a_title_or_a_metric():
    figures = [PLAIN, ("log_p", "", "a", "bounds"), ("log_p", "", "b", "bounds")]
    board = leaderboard(*measured(*figures))
    for name in ("log p(x)", "log_p", "log_p[b]"):
        assert board.by(name).frame.equals(board.by("log_p[b]").frame)


def test_without_its_glossary_a_board_names_metrics_in_words():
    records, measurements = results(additive, **GRID)
    board = leaderboard(records, measurements.assign(metric="best_bound"))
    assert board.header("best_bound") == "Best bound ↑"


def test_what_evaluators_say_is_kept_beside_what_others_said(tmp_path):
    keep(declared({"silent": Silent}), tmp_path)
    keep(SAID[SAID["evaluator"] == "bounds"], tmp_path)
    assert set(kept(tmp_path)["evaluator"]) == {"silent", "bounds"}
    records, measurements = results(additive, **GRID)
    board = board_of(records, measurements.assign(evaluator="bounds[draws=5]"), tmp_path)
    assert (board.header("elbo"), board.figures["elbo"].meaning) == ("ELBO ↑", "evidence lower bound")
    assert "| ELBO | nats | evidence lower bound | elbo |" in to_markdown(board)


def test_no_two_metrics_of_all_evaluators_share_a_title():
    """Else a board that has both would show two columns of one name."""
    entries = load_catalogue(PluginSelection()).entries("evaluator")
    figures = declared({entry.name: entry.load() for entry in entries})
    titles = figures[["metric", "title"]].drop_duplicates()
    assert titles["title"].is_unique
    assert titles["metric"].is_unique
