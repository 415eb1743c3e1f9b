"""The figure of rate and distortion: its points are means over seeds, its lines join one family."""

from types import MappingProxyType

import pandas as pd

from lvmbench.results.board import leaderboard
from lvmbench.results.pictures.rate_distortion import rate_distortion_figure

RATES = {"elbo": (10.0, 60.0), "elbo[beta=2.0]": (5.0, 68.0), "iwae": (12.0, 59.0)}


def make(figures=RATES, metrics=("rate", "distortion"), methods=MappingProxyType({})):
    records, measurements = [], []
    for objective, values in figures.items():
        for seed, shift in enumerate((-1.0, 1.0)):
            run = {"key": f"{objective}-{seed}", "dataset": "digits", "prior": "p", "posterior": "q"}
            run |= {"decoder": "d", "objective": objective, "estimator": "pathwise", "seed": seed}
            end = {"suite": "demo", "suite_version": 1, "latent": 2, "status": "ok", "reason": ""}
            records.append({**run, **end})
            words = {"evaluator": "informativeness", "split": "test", "variant": "", "stderr": 0.1}
            for metric, value in zip(metrics, values, strict=False):
                method = methods.get(objective, "exact") if metric == "rate" else ""
                figure = {"metric": metric, "method": method, "unit": "nats", "better": "lower"}
                measurements.append({**run, **words, **figure, "value": value + shift})
    return pd.DataFrame(records), pd.DataFrame(measurements)


def test_points_are_means_over_seeds():
    (axes,) = rate_distortion_figure(leaderboard(*make())).axes
    points = {(c[0].get_xdata()[0], c[0].get_ydata()[0]) for c in axes.containers}
    assert points == set(RATES.values())


def test_a_family_is_joined_by_rate():
    """Both betas of one objective are one line, from the smaller rate to the larger."""
    (axes,) = rate_distortion_figure(leaderboard(*make())).axes
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
    assert ([5.0, 10.0], [68.0, 60.0]) in lines


def test_lines_have_one_elbo():
    (axes,) = rate_distortion_figure(leaderboard(*make())).axes
    contours = [line for line in axes.lines if line.get_color() == "#c8c8c8"]
    assert contours
    for line in contours:
        first, last = zip(line.get_xdata(), line.get_ydata(), strict=True)
        assert abs(sum(first) - sum(last)) < 1e-9


def test_no_figure_without_both():
    assert rate_distortion_figure(leaderboard(*make(metrics=("rate",)))) is None


def test_a_rate_that_is_sampled_is_drawn_beside_one_that_is_known():
    (axes,) = rate_distortion_figure(leaderboard(*make(methods={"iwae": "sampled"}))).axes
    points = {(c[0].get_xdata()[0], c[0].get_ydata()[0]) for c in axes.containers}
    assert points == set(RATES.values())


def test_each_of_fifty_combinations_has_its_name_and_its_own_look():
    """The names stand in the order of -ELBO, the smallest first."""
    many = {f"elbo[beta={1 + i}.0]": (10.0 + i, 50.0) for i in range(50)}
    (axes,) = rate_distortion_figure(leaderboard(*make(many))).axes
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == list(many)
    looks = {(points.get_color(), points.get_marker()) for points, *_ in axes.containers}
    assert len(looks) == 50
