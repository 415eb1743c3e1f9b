"""YAML with places: every complaint says file, line and column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from lvmbench.errors import UserError

Location = Sequence[str | int]
LARGEST, MOST, DEEPEST = 500_000, 100_000, 100
"""So many bytes, values and levels a file may have: reading more takes long, and nobody writes that."""


class YamlFile:
    """A parsed YAML file that knows where each of its nodes stands.

    Raises `UserError` for one that cannot be read.

    ``plain`` is its content as plain dictionaries, lists and scalars.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._nodes = path, 0
        try:
            self._node = self._read()
            self.plain = self._plain(self._node)
        except RecursionError:
            raise UserError(
                f"{path}: nests too deep, maybe by an alias inside of what it stands for; write it out"
            ) from None

    def _read(self) -> Any:
        yaml = YAML(typ="rt")
        yaml.max_depth = DEEPEST
        try:
            return yaml.load(read_bounded(self.path))
        except MaxDepthExceededError:
            raise RecursionError from None
        except DuplicateKeyError as error:
            key = str(error.problem).partition('"')[2].partition('"')[0]
            raise UserError(f"{self._mark(error)}: key '{key}' is given twice; remove one") from None
        except MarkedYAMLError as error:
            start = f" of line {error.context_mark.line + 1}" if error.context_mark else ""
            context = f"{error.context}{start}, " if error.context else ""
            raise UserError(
                f"{self._mark(error)}: not YAML: {context}{error.problem or 'not finished'}"
            ) from None
        except (OSError, UnicodeDecodeError, YAMLError) as error:
            raise UserError(f"{self.path}: cannot be read: {str(error).splitlines()[0]}") from None

    def _plain(self, node: Any) -> Any:
        """A node as plain dictionaries, lists and scalars, with what aliases stand for."""
        self._nodes += 1
        if self._nodes > MOST:
            raise UserError(f"{self.path}: aliases stand for more than {MOST:,} values; write fewer")
        if isinstance(node, dict):
            return {str(k): self._plain(v) for k, v in node.items()}
        if isinstance(node, list):
            return [self._plain(v) for v in node]
        return _scalar(node)

    def _mark(self, error: MarkedYAMLError) -> str:
        mark = error.problem_mark or error.context_mark
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self.path)

    def place(self, location: Location, *, key: bool = False) -> str:
        """``file:line:column`` of the deepest node on the way to ``location``.

        Of its key if ``key`` or if it is empty.
        """
        node, line, column = self._node, 0, 0
        for i, step in enumerate(location):
            found = _find(node, step)
            if found is None:
                break
            name, child = found
            at_key = child is None or (key and i == len(location) - 1)
            marks = (node.lc.data or {}).get(name, [line, column])  # what a merge key brought has no marks
            line, column = marks[:2] if at_key else marks[-2:]
            node = child
        return f"{self.path}:{line + 1}:{column + 1}"


def _find(node: Any, step: str | int) -> tuple[Any, Any] | None:
    """The key of one step as the file has it, and what stands there."""
    if isinstance(node, CommentedMap):
        return next(((k, v) for k, v in node.items() if str(k) == str(step)), None)
    if isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
        return step, node[step]
    return None


def _scalar(node: Any) -> Any:
    if isinstance(node, ScalarBoolean):
        return bool(node)
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def read_bounded(path: Path) -> str:
    """The text of a YAML file; raises `UserError` for one that nobody has written."""
    if (size := path.stat().st_size) > LARGEST:
        raise UserError(f"{path}: has {size:,} bytes, more than the {LARGEST:,} that such a file may have")
    return path.read_text(encoding="utf-8")
