"""The name grammar."""

import itertools
import string

import pytest

from lvmbench.errors import UserError
from lvmbench.registry.names import Ref

READ = {
    "vamp": {},
    "vamp[]": {},
    "  vamp[ components = 50 , learn=true ]  ": {"components": 50, "learn": True},
    "vamp[a=1e-3]": {"a": 0.001},
    "vamp[a=-5]": {"a": -5},
    "vamp[a=null,b=false]": {"a": None, "b": False},
    "vamp[a=diagonal]": {"a": "diagonal"},
    'vamp[a="5"]': {"a": "5"},
    "vamp[a=]": {"a": ""},
    "vamp[a=b=c]": {"a": "b=c"},
    "vamp[a=my data.csv,b=1]": {"a": "my data.csv", "b": 1},
    "vamp[a=[1,2],b=3]": {"a": [1, 2], "b": 3},
    'vamp[a=[[1,2],{"k":[3]}],b=x]': {"a": [[1, 2], {"k": [3]}], "b": "x"},
    'vamp[a="x,y",b="]"]': {"a": "x,y", "b": "]"},
    r'vamp[a="say \"hi, you\"",b=1]': {"a": 'say "hi, you"', "b": 1},
    r'vamp[a="C:\\my,dir\\",b=1]': {"a": "C:\\my,dir\\", "b": 1},
    r"vamp[a=C:\dir\,b=1]": {"a": "C:\\dir\\", "b": 1},
    "vamp[path=~/a/b.csv]": {"path": "~/a/b.csv"},
    "vamp[a=NaN]": {"a": "NaN"},
    "vamp[a=iaf[b=1,c=2],d=3]": {"a": "iaf[b=1,c=2]", "d": 3},
}

VALUES = [0, -3, 10**20, 1.5, 1e-300, True, False, None, [], [1, [2, "a,b"]], {"k": [1, {"n": None}]}]
VALUES += [
    "",
    " ",
    " lead",
    "trail ",
    "true",
    "null",
    "1e-3",
    '"',
    "'",
    ",",
    "[",
    "]",
    "{",
    "}",
    "\\",
    '\\"',
    "a\\",
    ",\\",
]
VALUES += ["a,\\", '"5"', "NaN", "Infinity", "a=b", "=", "ü ñ", "\n", "a\nb", "\t", "·", '["x"', "x]"]
VALUES += [
    "iaf[a=1,b=2]",
    "iaf[a=b[c=1,d=2]]",
    'iaf[a="x],y"]',
    "iaf[]",
    "iaf[b=1,a=2]",
    "iaf[a=1]x",
    "iaf[a=1] ",
]


@pytest.mark.parametrize("text", READ)
def test_reads(text):
    assert Ref.parse(text) == Ref("vamp", READ[text])


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_value_round_trips_alone_and_beside_others(value):
    for options in ({"a": value}, {"a": value, "b": value}, {"a": value, "b": "x,y", "c": 2}):
        found = Ref.parse(str(Ref("vamp", options)))
        assert found == Ref("vamp", options)
        assert [type(v) for v in found.options.values()] == [type(v) for v in options.values()]


def test_every_short_string_round_trips():
    """All strings of up to three of the characters that mean something."""
    for size in (1, 2, 3):
        for letters in itertools.product('\\",[]{}= a1', repeat=size):
            ref = Ref("vamp", {"a": "".join(letters), "b": 1})
            assert Ref.parse(str(ref)) == ref


def test_writing_is_canonical():
    assert str(Ref("vamp")) == str(Ref("vamp", {})) == "vamp"
    assert str(Ref("vamp", {"b": 1, "a": "x"})) == str(Ref("vamp", {"a": "x", "b": 1})) == "vamp[a=x,b=1]"
    assert hash(Ref("vamp", {"b": 1, "a": 2})) == hash(Ref("vamp", {"a": 2, "b": 1}))


@pytest.mark.parametrize("value", [1, 0])
def test_equal_references_have_equal_hashes(value):
    integer, boolean, real = (Ref("vamp", {"a": kind(value)}) for kind in (int, bool, float))
    assert all(a != b or hash(a) == hash(b) for a, b in itertools.combinations((integer, boolean, real), 2))


MALFORMED = [
    "",
    " ",
    "[a=1]",
    "vamp[",
    "vamp]",
    "vamp[a=1",
    "vamp[a=1]x",
    "1vamp",
    "va mp",
    "vamp[a]",
    "vamp[=1]",
    "vamp[a=1,]",
]
MALFORMED += [
    "vamp[,a=1]",
    "vamp[1a=1]",
    "vamp[a b=1]",
    "vamp[a=1][b=2]",
    "vamp[a=[1,2]",
    "vamp[a=1]]",
    "vamp[a=1],b=2]",
]
MALFORMED += ['vamp[a="x]', 'vamp[a="x,b=1]', "vamp[a={]", "vamp[a=]],b=[[]", "vämp[a=1]]"]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_names_are_user_errors_that_quote_the_text(text):
    with pytest.raises(UserError) as error:
        Ref.parse(text)
    assert f"'{text.strip()}'" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_option_given_twice_is_an_error():
    with pytest.raises(UserError, match="option 'a' is given twice"):
        Ref.parse("vamp[a=1,a=2]")


def test_names_may_hold_dots_and_dashes():
    for char in string.ascii_letters + string.digits + "_.-":
        assert Ref.parse(f"x{char}").name == f"x{char}"
