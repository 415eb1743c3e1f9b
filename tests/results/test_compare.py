"""A against B: what is paired, what is said of it, and what cannot be compared."""

import numpy as np
import pytest

from lvmbench.errors import UserError
from lvmbench.results.board import leaderboard
from lvmbench.results.compare import REGIONS, compare
from lvmbench.results.compare_sections import comparison_section, comparison_to_markdown, paragraph
from lvmbench.results.comparison import Comparison
from lvmbench.results.selection import conditions
from tests.results.test_effects import results

GRID = {"posterior": ["a", "b[flows=2]"], "prior": ["p", "vamp"]}
SEEDS, DATA = 4, 30


def figures(gain=1.0):
    """Of each run by posterior, prior and seed: a figure of each datum, with what seeds and data do to it."""
    rng = np.random.default_rng(0)
    shared = rng.normal(-90, 5, (SEEDS, DATA))
    found = {}
    for posterior in GRID["posterior"]:
        own = rng.normal(0, 0.1, (SEEDS, 1)) + rng.normal(0, 0.5, (1, DATA)) + shared
        for prior in GRID["prior"]:
            noise = own + rng.normal(0, 0.3, (SEEDS, DATA)) + gain * (posterior == "a")
            found |= {(posterior, prior, seed): row for seed, row in enumerate(noise)}
    return found


def board_of(found, **changes):
    tables = results(
        lambda place, seed: found.get((place["posterior"], place["prior"], seed), np.array([np.nan])).mean(),
        seeds=SEEDS,
        **GRID,
        **changes,
    )
    return leaderboard(*tables), tables[1]


def reader(found):
    """Figures of single data as files have them, by the keys of `results`."""
    rows = {f"{(posterior, prior)}{seed}": each for (posterior, prior, seed), each in found.items()}

    def read(key, evaluator, name):
        assert (evaluator, name) == ("t", "elbo")
        return rows[key].astype(np.float32).astype(float)

    return read


def test_everything_else_seeds_and_data_are_paired():
    found = figures()
    compared = compare(*board_of(found), "posterior=a", "posterior=b", per_datum=reader(found))
    row = compared.frame.iloc[0]
    d = np.array(
        [
            np.mean([found["a", p, s] - found["b[flows=2]", p, s] for p in GRID["prior"]], axis=0)
            for s in range(SEEDS)
        ]
    )
    due = Comparison.by_seed_and_datum(d)
    assert (row["pairs"], row["seeds"], row["data"], row["left_out"]) == (2, SEEDS, DATA, "")
    assert [row[name] for name in ("difference", "low", "high")] == pytest.approx(
        [due.difference, due.low, due.high], abs=1e-5
    )
    chances = due.chances(REGIONS["nats"][0])
    assert [row[name] for name in ("worse", "equal", "better")] == pytest.approx(list(chances), abs=1e-5)
    assert (compared.a, compared.b, compared.by) == ("a", "b[flows=2]", ["posterior"])
    assert row["verdict"] == "better"


def test_without_figures_of_single_data_seeds_alone_are_paired():
    found = figures()
    row = compare(*board_of(found), "posterior=a", "posterior=b").frame.iloc[0]
    means = [
        np.mean([(found["a", p, s] - found["b[flows=2]", p, s]).mean() for p in GRID["prior"]])
        for s in range(SEEDS)
    ]
    due = Comparison.by_seed(means)
    assert (row["difference"], row["low"]) == (pytest.approx(due.difference), pytest.approx(due.low))
    assert str(row["data"]) == "<NA>"


@pytest.mark.parametrize("kept", ["of other weights", "of one run less", "of other data"])
def test_figures_of_single_data_that_are_not_those_of_the_board_are_not_used(kept):
    found = figures()

    def read(key, evaluator, name):
        each = reader(found)(key, evaluator, name)
        if not key.endswith("0"):
            return each
        return {"of other weights": each + 1, "of one run less": None, "of other data": each[:1]}[kept]

    row = compare(*board_of(found), "posterior=a", "posterior=b", per_datum=read).frame.iloc[0]
    assert str(row["data"]) == "<NA>"


def test_a_row_may_be_given_by_its_parts():
    found = figures()
    compared = compare(*board_of(found), "vamp · a", "p · b[flows=2]", per_datum=reader(found))
    d = np.array([found["a", "vamp", s] - found["b[flows=2]", "p", s] for s in range(SEEDS)])
    assert compared.frame["difference"][0] == pytest.approx(d.mean(), abs=1e-5)
    assert (compared.frame["pairs"][0], compared.a) == (1, "vamp · a")


def test_what_one_side_alone_says_is_said_of_both():
    found = figures()
    compared = compare(*board_of(found), "prior=vamp posterior=a", "posterior=b", per_datum=reader(found))
    d = np.array([found["a", "vamp", s] - found["b[flows=2]", "vamp", s] for s in range(SEEDS)])
    assert compared.frame["difference"][0] == pytest.approx(d.mean(), abs=1e-5)


def test_a_side_of_several_settings_is_the_mean_of_them():
    values = {"x1": 1.0, "x2": 3.0, "y": 8.0}
    noise = [0.1, -0.2, 0.1]
    records, measurements = results(
        lambda place, seed: values[place["prior"]] + noise[seed] * (place["prior"] == "x1"),
        prior=list(values),
        posterior=["q", "r"],
    )
    compared = compare(leaderboard(records, measurements), measurements, "prior=y", "prior=x?")
    assert (compared.b, compared.frame["difference"][0]) == ("x1 or x2", pytest.approx(6.0))
    assert compared.frame["error_of_seeds"][0] == pytest.approx(np.std(noise, ddof=1) / 2 / np.sqrt(3))


def test_lower_may_be_better():
    found = figures()
    row = compare(*board_of(found, better="lower"), "posterior=a", "posterior=b").frame.iloc[0]
    assert (row["verdict"], row["difference"] > 0) == ("worse", True)
    assert row["better"] < 0.05 < row["worse"]


def test_equal_in_practice_is_what_is_surely_within_the_region():
    found = figures(gain=0.0)
    board = board_of(found)
    wide, narrow = (
        compare(*board, "posterior=a", "posterior=b", equal_within=region) for region in (5.0, 1e-6)
    )
    assert wide.frame["verdict"][0] == "equal"
    assert narrow.frame["verdict"][0] == "inconclusive"
    assert narrow.frame["needed"][0] > SEEDS
    assert "as asked for" in paragraph(wide)


def test_pairs_of_which_one_is_not_whole_are_left_out_and_said():
    found = figures()
    del found["a", "vamp", 2]
    compared = compare(*board_of(found), "posterior=a", "posterior=b", per_datum=reader(found))
    assert (compared.frame["pairs"][0], compared.frame["left_out"][0]) == (1, "1 not measured")
    assert "(left out: 1 not measured)" in paragraph(compared)


def test_it_is_said_in_words_and_as_a_table():
    found = figures()
    compared = compare(*board_of(found), "posterior=a", "posterior=b", per_datum=reader(found))
    row = compared.frame.iloc[0]
    words = paragraph(compared)
    assert words.startswith(
        "a against b[flows=2], in 2 pairs of combinations that are otherwise alike, with 4 seeds and 30 test "
        f"data. On d Elbo is {row['difference']:.3g} nats higher (95% interval {row['low']:.3g} to "
    )
    assert words.endswith(
        "a is better. Equal is what differs by no more than 0.1 nats: a factor of 1.1 in the density of a "
        "datum."
    )
    section = comparison_section(compared)
    assert section.columns["verdict"] == ["better"]
    assert section.columns["data"] == ["30"]
    text = comparison_to_markdown(compared)
    assert (
        "| metric | difference | better | equal | worse | within | pairs | seeds | data | verdict |" in text
    )


def test_one_seed_calls_nothing():
    found = {key: each for key, each in figures().items() if key[2] == 0}
    compared = compare(*board_of(found), "posterior=a", "posterior=b", per_datum=reader(found))
    assert compared.frame["verdict"][0] == "inconclusive"
    assert "one seed says nothing of others" in paragraph(compared)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ("prior=vamp", "vamp", "A and B are the same 8 runs: 'prior=vamp' and 'vamp'"),
        ("prior=vamp", "posterior=a", "A and B have 4 runs in common"),
        ("prior=vam", "prior=p", "A prior=vam: no run that is left is like that; prior is p, vamp"),
        ("vam", "prior=p", "A 'vam': no run has a part 'vam'; did you mean 'vamp'?"),
        ("prior=p", "prio=vamp", "B prio=vamp: 'prio' names no component or setting; did you mean 'prior'"),
        ("", "prior=p", "A '': write what tells the runs from others"),
        ("prior=vamp posterior=a", "prior=p posterior=b decoder=c", "B decoder=c: no run that is left"),
        ("dataset=d prior=p", "prior=vamp", "compared on the same data"),
    ],
)
def test_what_cannot_be_compared_says_why(a, b, said):
    with pytest.raises(UserError) as refused:
        compare(*board_of(figures()), a, b)
    assert said in str(refused.value)


def test_sides_that_name_no_part_in_common_are_told_so():
    records, measurements = results(lambda place, seed: 1.0 * seed, posterior=["a", "b"], prior=["p", "v"])
    kept = records[(records["posterior"] == "a") == (records["prior"] == "p")]
    with pytest.raises(UserError, match="name no part or setting in which they differ"):
        compare(leaderboard(kept, measurements), measurements, "posterior=a", "prior=v")
    with pytest.raises(UserError, match="A and B never meet with everything else equal"):
        compare(leaderboard(kept, measurements), measurements, "posterior=a", "posterior=b")


def test_a_board_that_ranks_nothing_is_asked_for_a_figure():
    records, measurements = results(lambda place, seed: 1.0 * seed, posterior=["a", "b"], prior=["p", "v"])
    board = leaderboard(records, measurements, metric="none")
    with pytest.raises(UserError, match="by --metric"):
        compare(board, measurements, "posterior=a", "posterior=b")


RUNS = results(lambda place, seed: 0.0, posterior=["gaussian", "iaf"], prior=["gaussian", "vamp"])[0]


def test_a_bare_name_is_of_the_kind_that_leaves_no_choice():
    assert conditions(RUNS, "vamp", "A") == ["prior=vamp"]
    assert conditions(RUNS, "gaussian · iaf · latent=8", "A") == [
        "prior=gaussian",
        "posterior=iaf",
        "latent=8",
    ]
    assert conditions(RUNS, "gaussian · gaussian", "A") == ["prior=gaussian", "posterior=gaussian"]
    assert conditions(RUNS, "gaussian", "A", "iaf") == ["posterior=gaussian"]
    with pytest.raises(UserError, match=r"A 'gaussian': 'gaussian' may be prior or posterior; write prior="):
        conditions(RUNS, "gaussian", "A")
