"""Options are the keyword-only arguments of a component."""

import math
from typing import Literal

import pytest

from lvmbench import Count, NonNegative, Positive, Probability, Size
from lvmbench.options import OptionError, given, resolve


class Part:
    def __init__(
        self,
        data: object = None,
        *,
        count: Count = 1,
        size: Size = 0,
        positive: Positive = 1.0,
        non_negative: NonNegative = 0.0,
        probability: Probability = 0.5,
        real: float = 0.0,
        flag: bool = False,
        text: str = "x",
        choice: Literal["a", "b"] = "a",
        maybe: int | None = None,
    ) -> None: ...


class Needy:
    def __init__(self, *, path: str) -> None: ...


GOOD = {
    "count": [1, 10**9],
    "size": [0, 3],
    "positive": [1e-9, 5, 2.5],
    "non_negative": [0, 0.0, 7.5],
    "probability": [0, 1, 0.25],
    "real": [-5, -5.0],
    "flag": [True, False],
    "text": ["", "y"],
    "choice": ["a", "b"],
    "maybe": [None, 3],
}
BAD = {
    "count": [0, -1, 1.0, 1.5, "1", True, None, [1]],
    "size": [-1, 0.5, False, "0"],
    "positive": [0, 0.0, -1, math.inf, math.nan, "1", True, None],
    "non_negative": [-1e-9, math.inf, math.nan, True],
    "probability": [-0.1, 1.1, math.nan, math.inf, -math.inf, "0.5", True],
    "real": ["0", None, True],
    "flag": [0, 1, "true", None],
    "text": [1, None, True],
    "choice": ["c", "A", None, 1],
    "maybe": [1.5, "3", True],
}


def cases(table):
    return [(name, value) for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), cases(GOOD))
def test_accepts(name, value):
    assert resolve(Part, {name: value}, "prior 'part'")[name] == value


@pytest.mark.parametrize(("name", "value"), cases(BAD))
def test_refuses_naming_component_option_and_value_in_one_line(name, value):
    with pytest.raises(OptionError) as error:
        resolve(Part, {name: value}, "prior 'part'")
    assert error.value.option == name
    assert str(error.value).startswith(f"prior 'part': option '{name}' should be ")
    assert str(error.value).endswith(f", got {value!r}")
    assert "\n" not in str(error.value)


def test_whole_numbers_given_to_real_options_become_real():
    assert type(resolve(Part, {"positive": 2}, "")["positive"]) is float


def test_fills_in_the_defaults_in_the_order_of_the_signature():
    assert resolve(Part, {"size": 4}, "")["size"] == 4
    assert list(resolve(Part, {}, "")) == list(GOOD)


@pytest.mark.parametrize(
    ("name", "hint"), [("cuont", "did you mean 'count'"), ("zzz", "known: choice, count"), ("data", "known")]
)
def test_unknown_options_name_the_nearest(name, hint):
    with pytest.raises(OptionError, match=f"prior 'part' has no option '{name}'; {hint}") as error:
        resolve(Part, {name: 1}, "prior 'part'")
    assert error.value.option == name


def test_a_component_without_options_says_so():
    with pytest.raises(OptionError, match="has no option 'x'; known: none"):
        resolve(object, {"x": 1}, "prior 'plain'")
    assert resolve(object, {}, "") == {}


def test_required_options_are_asked_for():
    with pytest.raises(OptionError, match=r"dataset 'needy' needs option 'path'; write path=VALUE"):
        resolve(Needy, {}, "dataset 'needy'")
    assert resolve(Needy, {"path": "x"}, "") == {"path": "x"}


def test_given_leaves_out_what_is_at_its_default():
    assert given(Part, resolve(Part, {"count": 1, "real": 2.0}, "")) == {"real": 2.0}
    assert given(Needy, {"path": "x"}) == {"path": "x"}


class Awkward:
    def __init__(self, *, copy: int = 3, json: str = "x", schema: bool = True) -> None: ...


def test_options_may_be_called_as_methods_of_pydantic():
    assert resolve(Awkward, {"copy": 4}, "") == {"copy": 4, "json": "x", "schema": True}
