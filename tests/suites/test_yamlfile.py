"""YAML files: what is read, and where each thing stands."""

import json

import pytest

from lvmbench.errors import UserError
from lvmbench.suites.yamlfile import DEEPEST, YamlFile

TEXT = """\
name: tiny
budget: {epochs: 3, batch: 20}
parts:
  - plain
  - mixture:
      size: 2
empty:
3: number
defaults: &b
  rate: 0.5
merged:
  <<: *b
  more: &yes true
"""


def read(tmp_path, text):
    path = tmp_path / "a file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return YamlFile(path)


def complaint(tmp_path, text):
    """The one line that a file is refused with, without its path."""
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{tmp_path / 'a file.yaml'}:")


def test_the_content_is_plain(tmp_path):
    plain = read(tmp_path, TEXT).plain
    assert plain == {
        "name": "tiny",
        "budget": {"epochs": 3, "batch": 20},
        "parts": ["plain", {"mixture": {"size": 2}}],
        "empty": None,
        "3": "number",
        "defaults": {"rate": 0.5},
        "merged": {"more": True, "rate": 0.5},
    }
    kinds = {type(plain), type(plain["budget"]), type(plain["parts"]), type(plain["name"])}
    assert kinds == {dict, list, str}
    assert type(plain["merged"]["more"]) is bool
    assert type(plain["merged"]["rate"]) is float


@pytest.mark.parametrize(
    ("location", "key", "place"),
    [
        ([], False, "1:1"),
        (["name"], False, "1:7"),
        (["name"], True, "1:1"),
        (["budget", "batch"], False, "2:28"),
        (["budget", "batch"], True, "2:21"),
        (["parts", 0], False, "4:5"),
        (["parts", 1, "mixture", "size"], False, "6:13"),
        (["parts", 1, "mixture", "size"], True, "6:7"),
        (["parts", 7], False, "4:3"),
        (["empty"], False, "7:1"),
        (["3"], False, "8:4"),
        (["absent", "below"], False, "1:1"),
        (["merged", "more"], False, "13:9"),
        (["merged", "rate"], False, "12:3"),
    ],
)
def test_every_node_has_its_place(tmp_path, location, key, place):
    assert read(tmp_path, TEXT).place(location, key=key) == f"{tmp_path / 'a file.yaml'}:{place}"


def test_as_many_levels_as_anybody_writes_are_read(tmp_path):
    text = "[" * DEEPEST + "]" * DEEPEST
    assert read(tmp_path, text).plain == json.loads(text)
    assert "nests too deep" in complaint(tmp_path, f"[{text}]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", "2:2: not YAML: while parsing a flow sequence of line 1, expected ',' or ']'"),
        ("a: 1\n\tb: 2\n", "2:1: not YAML: while scanning for the next token"),
        ('a: "x\n', "2:1: not YAML: while scanning a quoted scalar of line 1"),
        ("a: *b\n", "1:4: not YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2\n", "2:1: not YAML: expected a single document"),
        ("a: 1\nb: 2\na: 3\n", "3:1: key 'a' is given twice; remove one"),
        ("a: {b: 1, c: 2,\n  b: 3}\n", "2:3: key 'b' is given twice; remove one"),
        (bytes(range(256)), " cannot be read: 'utf-8' codec can't decode byte 0x80"),
        ("größe: 1".encode("latin-1"), " cannot be read: 'utf-8' codec can't decode byte 0xf6"),
        (b"a: \0", " cannot be read: unacceptable character #x0000"),
        ("&a\nb: [*a]\n", " nests too deep, maybe by an alias inside of what it stands for"),
        ("[" * 1000 + "]" * 1000, " nests too deep"),
    ],
)
def test_what_is_not_yaml_is_one_line_with_its_place(tmp_path, text, message):
    assert complaint(tmp_path, text).startswith(message)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_nothing(tmp_path, text):
    assert read(tmp_path, text).plain is None


@pytest.mark.parametrize("text", ["\ufeffa: 1\n", "a: 1\r\n", "a: 1", "%YAML 1.2\n---\na: 1\n"])
def test_marks_and_line_endings_of_other_editors_are_read(tmp_path, text):
    assert read(tmp_path, text).plain == {"a": 1}


def test_a_folder_and_a_missing_file_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(UserError, match=r"cannot be read: \[Errno"):
            YamlFile(path)
