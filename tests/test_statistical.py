"""The helper of the statistical tests, and that every test which leaves something to chance uses it."""

import ast
import functools
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from scipy import stats

from lvmbench import Stream
from tests.statistical import FALSE_ALARM, HEAD, Chance

ROOT = Path(__file__).parent
TABLE = ROOT.parent / "docs" / "statistical-tests.md"
BY_LOT = re.compile(
    r"\* ?[\w.]*stderr|stderr \*|\.std\(|\.var\(|pvalue [<>]|binom|\bisf\(|\bppf\("
    r"|(?:rel|abs|tol)=(?:0\.0?[1-9]|[1-9]e-[12])\b"
)
"""What a tolerance for chance is made of:
a multiple of an error, a spread, a level, a quantile, a hundredth or more.
"""
DRAWN = re.compile(
    r"Stream\b|\brandn?\b|default_rng|Generator\(|\.evaluate\(|\.sample\(|\bfit\(|generate\(|\btrain"
)
"""What draws random numbers."""
CERTAIN = {
    "tests/api/test_plots.py::test_images_of_a_model": "pixels of the mean digit alone spread by 0.27",
    "tests/api/test_plots.py::test_a_traversal_moves_one_unit_at_a_time": "of any model whose codes differ",
    "tests/baselines/test_baselines.py::test_normal_marginals_are_on_the_measure_of_gaussian_decoders": (
        "of any draws"
    ),
    "tests/baselines/test_baselines.py::test_a_mixture_is_that_of_its_parameters_brought_back_to_the_data": (
        "of any draws: one component is among those chosen from"
    ),
    "tests/baselines/test_baselines.py::test_a_kernel_estimate_is_scipys": "of any draws",
    "tests/baselines/test_baselines.py::test_the_truth_is_the_datas_own": "nothing is drawn",
    "tests/plugins/test_flows.py::test_density_of_a_grid_sums_to_one": "a spread sets the grid alone",
    "tests/networks/test_networks.py::test_a_residual_body_begins_near_linear": "by construction",
    "tests/kernels/test_hmc.py::test_the_error_of_the_energy_is_of_order_two_in_the_step": "of any draws",
    "tests/test_readme.py::test_independent_pixels_are_what_the_readme_says": "of real data",
    "tests/plugins/test_table.py::test_standardised_by_the_training_rows": "the spread of the rows",
}
"""Tests that look as if they left something to chance, and why they do not."""


class Function(NamedTuple):
    """A function of a file: its tree, its text and the names in it, its arguments among them."""

    node: ast.FunctionDef
    text: str
    names: set[str]

    @classmethod
    def of(cls, node):
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {a.arg for a in node.args.args}
        return cls(node, ast.unparse(node), names)


def functions(tree):
    return {node.name: Function.of(node) for node in tree.body if isinstance(node, ast.FunctionDef)}


def used(name, known):
    """The text of a function and of the fixtures and functions of its file that it uses,
    and of those that they use.
    """
    found, waiting = {}, [name]
    while waiting:
        name = waiting.pop()
        found[name] = known[name].text
        waiting += [other for other in known[name].names & known.keys() if other not in found]
    return "\n".join(found.values())


@functools.cache
def every_test():
    """The name of every test, its marker (or ``None``), its text and that of all that it uses."""
    return [*_every_test()]


def _every_test():
    for path in sorted(ROOT.rglob("test_*.py")):
        known = functions(ast.parse(path.read_text()))
        for name, each in known.items():
            if name.startswith("test_") and path != Path(__file__):
                full = f"{path.relative_to(ROOT.parent)}::{name}"
                yield full, marker(each.node), each.text, used(name, known)


def marker(node):
    calls = (d for d in node.decorator_list if isinstance(d, ast.Call))
    return next((call for call in calls if ast.unparse(call.func) == "pytest.mark.statistical"), None)


def test_every_test_that_leaves_something_to_chance_says_so():
    left = [
        name
        for name, mark, text, everything in every_test()
        if mark is None and BY_LOT.search(text) and DRAWN.search(everything) and name not in CERTAIN
    ]
    assert left == [], "mark them statistical, and compare by the fixture 'chance'; or say in CERTAIN why not"


def test_what_is_marked_compares_by_the_fixture():
    for name, mark, text, _ in every_test():
        assert (mark is not None) == bool(re.search(r"^def \w+\(.*\bchance\b", text, re.MULTILINE)), name


def test_the_table_has_every_statistical_test():
    listed = re.findall(r"^\| `([^`]+)` \|", TABLE.read_text(), re.MULTILINE)
    marked = [name.removeprefix("tests/") for name, mark, *_ in every_test() if mark is not None]
    assert TABLE.read_text().startswith(HEAD)
    assert listed == sorted(marked), "write it anew, as its first lines say"


def test_averages_are_told_from_others():
    draws = Stream.seeded(0, dtype=torch.float64).normal((1000, 3))
    Chance().agrees(draws)
    Chance().agrees(draws, 1.0, above=True)
    for truth, above in ((0.3, False), (-0.3, True)):
        with pytest.raises(Exception, match="standard error"):
            Chance().agrees(draws, truth, above=above)


def test_the_rate_is_shared_out_among_figures_and_comparisons():
    one, many = Chance(), Chance(comparisons=5)
    assert one.allowed(2.0) == pytest.approx(2 * stats.norm.isf(FALSE_ALARM / 2))
    assert many.allowed(1.0, figures=4, freedom=9) == pytest.approx(stats.t.isf(FALSE_ALARM / 2 / 20, 9))
    with pytest.raises(AssertionError, match="more comparisons than the marker allows for"):
        one.likely(1.0)


def test_errors_that_are_half_or_twice_too_large_are_seen():
    values = Stream.seeded(0, dtype=torch.float64).normal((100,))
    Chance().spreads(values, torch.ones(100))
    for stated in (0.5, 2.0):
        with pytest.raises(AssertionError, match="of the stated one"):
            Chance().spreads(values, torch.full((100,), stated))


def test_an_order_must_be_clear_under_other_seeds():
    Chance(seed=0).ordered(0.0, 1.0, 1.0)
    Chance(seed=1).ordered(0.0, 10.0, 1.0)
    with pytest.raises(AssertionError, match="apart by"):
        Chance(seed=1).ordered(0.0, 1.0, 1.0)
