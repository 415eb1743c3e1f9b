"""Figures: what they show is the board's, and the same figure gives the same bytes."""

import html

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from lvmbench.results.board import leaderboard
from lvmbench.results.pictures.board import leaderboard_figure, save
from lvmbench.results.pictures.learning_curves import curves_figure


def make(level, seeds=4):
    """Runs of one data set whose ELBO is about the level given to each prior; None for a failed run."""
    rng = np.random.default_rng(0)
    records, measurements = [], []
    for prior, value in level.items():
        for seed in range(seeds):
            words = {"dataset": "digits", "prior": prior, "posterior": "gaussian", "decoder": "bernoulli"}
            words = {
                "key": f"{prior}-{seed}",
                **words,
                "objective": "elbo",
                "estimator": "pathwise",
                "seed": seed,
            }
            status = (
                {"status": "failed", "reason": "boom"} if value is None else {"status": "ok", "reason": ""}
            )
            records.append({**words, "suite": "demo", "suite_version": 1, "latent": 16, **status})
            where = {"evaluator": "tightness", "split": "test", "stderr": 0.1}
            figure = {"metric": "elbo", "variant": "", "method": "", "unit": "nats", "better": "higher"}
            if value is not None:
                measurements.append({**words, **where, **figure, "value": value + rng.normal(0, 0.2)})
    return pd.DataFrame(records), pd.DataFrame(measurements, columns=[*words, *where, *figure, "value"])


LEVELS = {"vamp[components=50]": -80.0, "standard_normal": -95.0, "mixture": -90.0, "flow": None}


def drawn(level, **options):
    results = make(level, **options)
    board = leaderboard(*results)
    return board, leaderboard_figure(board)


def texts(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_rows_are_the_boards_best_on_top():
    board, figure = drawn(LEVELS)
    (axes,) = figure.axes
    assert [text.split()[0] for text in texts(axes)] == ["vamp", "mixture", "standard_normal"]
    assert [text.split()[-1] for text in texts(axes)] == ["1", "2", "3"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.get_xlabel() == "Elbo (nats), test split; higher is better"
    means = [
        line.get_xdata()[0] for line in axes.lines if line.get_markersize() == 5 and line.get_marker() == "o"
    ]
    assert means == board.frame["elbo"].dropna().tolist()


def test_intervals_are_the_boards():
    board, figure = drawn(LEVELS)
    spans = [tuple(line.get_xdata()) for line in figure.axes[0].lines if line.get_linewidth() == 1.6]
    assert spans == list(board.frame[["elbo_low", "elbo_high"]].dropna().itertuples(index=False, name=None))


def test_every_seed_is_a_dot():
    (dots,) = [line for line in drawn(LEVELS)[1].axes[0].lines if line.get_markersize() == 2.6]
    assert len(dots.get_xdata()) == 12
    assert sorted({round(float(y)) for y in dots.get_ydata()}) == [0, 1, 2]


def test_what_is_far_outside_is_written_instead():
    level = {f"mixture[components={i}]": -90.0 - i for i in range(8)} | {"vamp": -500.0}
    (axes,) = drawn(level)[1].axes
    assert axes.get_xlim()[0] > -120
    assert any(text.get_text() == "◂ -500" for text in axes.texts)


def test_every_seed_near_the_bulk_is_inside_and_cut_intervals_have_arrow_heads():
    records, measurements = make(LEVELS, seeds=2)
    measurements.loc[1, "value"] -= 60
    (axes,) = leaderboard_figure(leaderboard(records, measurements)).axes
    low, high = axes.get_xlim()
    assert low < measurements["value"].min() < measurements["value"].max() < high
    assert {"<", ">"} == {line.get_marker() for line in axes.lines} - {"o", "None"}


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_and_a_lone_combination_are_drawn(seeds, tmp_path):
    for level in (LEVELS, {"vamp": -80.0}):
        save(drawn(level, seeds=seeds)[1], tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_nothing_measured_draws_nothing():
    assert drawn({"flow": None})[1] is None


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("a.svg", "b.svg"):
        save(drawn(LEVELS)[1], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()


def test_the_users_own_settings_change_nothing_and_are_kept(tmp_path):
    save(drawn(LEVELS)[1], tmp_path / "a.svg")
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9}):
        save(drawn(LEVELS)[1], tmp_path / "b.svg")
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def curve(records, length=20):
    epochs = np.arange(length)
    for i, key in enumerate(records["key"]):
        bound = -80.0 - i - 300 * np.exp(-epochs / 3)
        yield pd.DataFrame({"key": key, "epoch": epochs, "train_bound": bound + 1, "validation_bound": bound})


def learning(records, frame=None):
    """The figure of learning curves of runs that nothing was measured of."""
    _, measurements = make({"flow": None})
    return curves_figure(
        pd.concat(curve(records)) if frame is None else frame, leaderboard(records, measurements)
    )


def validation(axes):
    """The lines of the validation bounds, by name."""
    legend = axes.get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    looks = [(handle.get_color(), handle.get_linestyle(), dashes(handle)) for handle in legend.legend_handles]
    thick = {
        (line.get_color(), line.get_linestyle(), dashes(line)): line
        for line in axes.lines
        if line.get_linewidth() > 1
    }
    assert len(set(looks)) == len(thick) == len(names)
    return {name: thick[look] for name, look in zip(names, looks, strict=True)}


def dashes(line):
    return str(line._unscaled_dash_pattern)


def test_curves_are_means_over_seeds():
    records, _ = make({"vamp": -80.0, "flow": -81.0}, seeds=2)
    (axes,) = learning(records).axes
    lines = validation(axes)
    assert set(lines) == {"vamp", "flow"}
    assert lines["vamp"].get_ydata()[-1] == pytest.approx(-80.5 - 300 * np.exp(-19 / 3))


def test_a_run_that_stopped_early_keeps_its_last_value():
    records, _ = make({"vamp": -80.0}, seeds=2)
    frame = pd.concat(curve(records))
    stopped = frame[(frame["key"] == "vamp-0") | (frame["epoch"] < 10)]
    (axes,) = learning(records, stopped).axes
    last = frame.set_index(["key", "epoch"])["validation_bound"]
    expected = (last["vamp-0", 19] + last["vamp-1", 9]) / 2
    (line,) = validation(axes).values()
    assert line.get_ydata()[-1] == pytest.approx(expected)


def test_bounds_of_different_objectives_are_never_on_one_axis():
    parts = []
    for objective in ("elbo", "elbo[beta=4.0]", "iwae[samples=4]"):
        records, _ = make({"vamp": -80.0, "flow": -81.0}, seeds=1)
        parts.append(records.assign(objective=objective, key=records["key"] + objective))
    records = pd.concat(parts)
    figure = learning(records)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["digits: elbo", "digits: elbo[beta=4.0]", "digits: iwae[samples=4]"]
    assert [sorted(validation(axes)) for axes in figure.axes] == [["flow", "vamp"]] * 3


def test_each_of_fifty_curves_has_its_name_and_its_own_look():
    records, _ = make({f"p{i:02d}": -80.0 for i in range(50)}, seeds=1)
    (axes,) = learning(records).axes
    lines = validation(axes)
    assert list(lines) == [f"p{i:02d}" for i in range(50)]
    ends = [line.get_ydata()[-1] for line in lines.values()]
    assert ends == sorted(ends, reverse=True)


def test_a_curve_that_ends_below_the_frame_says_where():
    records, _ = make({f"p{i}": -80.0 for i in range(6)}, seeds=1)
    frame = pd.concat(curve(records))
    frame.loc[frame["key"] == "p3-0", ["train_bound", "validation_bound"]] -= 1000
    (axes,) = learning(records, frame).axes
    assert axes.get_ylim()[0] > -1000
    assert [name for name in validation(axes) if "ends at" in name] == ["p3  (ends at -1084)"]


ODD = [
    "price_$ cost_$",
    "a$b$c",
    r"\\frac{a}{b}",
    "100 % ^2_3",
    "عمر 😀 日本",
    "~/data/d$x.csv",
    "<b>&amp;",
    "_hidden",
]


def test_names_are_shown_as_they_are_written(tmp_path):
    """Whatever signs are in them, which matplotlib may take for a formula, or have no glyphs for."""
    level = {name: -80.0 - i for i, name in enumerate(ODD)}
    records, _ = make(level, seeds=1)
    lines = learning(records.assign(dataset="table[columns=$x_$]"))
    for picture in (drawn(level, seeds=1)[1], lines):
        save(picture, tmp_path / "figure.svg")
        texts = html.unescape((tmp_path / "figure.svg").read_text(encoding="utf-8"))
        assert [name for name in ODD if f">{name}" not in texts] == []
    save(lines, tmp_path / "figure.png")


def test_no_curves_draw_nothing():
    records, _ = make(LEVELS)
    assert (
        learning(records, pd.DataFrame(columns=["key", "epoch", "train_bound", "validation_bound"])) is None
    )
