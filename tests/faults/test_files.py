"""Files that nobody has written: refused in one line, in bounded time and memory, and no code runs."""

import pytest

from lvmbench.errors import UserError
from lvmbench.suites.yamlfile import YamlFile

LEVELS = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))
MERGES = "\n".join(f"b{i}: &b{i}\n  <<: [{', '.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 9))
FILES = {
    "aliases": (f"a0: &a0 [x]\n{LEVELS}\n", "aliases stand for more than 100,000 values"),
    "comments": ("# a comment\n" * 10**6, "has 12,000,000 bytes, more than the 500,000"),
    "nested": ("[" * 5_000, "nests too deep"),
    "tag": ("suite: !!python/object/apply:os.system ['touch MARK']\n", None),
    "merges": (f"b0: &b0 {{x: 1}}\n{MERGES}\n", None),
    "binary": ("\0\1\2", "cannot be read"),
}


def complaint(file):
    """What reading it complains of, if it does."""
    try:
        YamlFile(file)
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_nobody_has_written_is_refused_or_harmless(name, tmp_path):
    text, line = FILES[name]
    file = tmp_path / "suite.yaml"
    file.write_text(text.replace("MARK", str(tmp_path / "mark")))
    told = complaint(file)
    assert "\n" not in (told or "")
    assert line is None or line in told
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["aliases", "comments", "tag"])
def test_such_a_suite_is_one_line_of_the_command(name, tmp_path, cli):
    (tmp_path / "suite.yaml").write_text(FILES[name][0])
    shown = cli("plan", tmp_path / "suite.yaml")
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
