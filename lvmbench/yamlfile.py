"""YAML with places: every complaint says file, line and column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from lvmbench.errors import UserError

Location = Sequence[str | int]


class YamlFile:
    """A parsed YAML file that knows where each of its nodes stands; raises `UserError` for one that cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.node = self._read()

    def _read(self) -> Any:
        try:
            return YAML(typ="rt").load(self.path.read_text(encoding="utf-8"))
        except DuplicateKeyError as error:
            key = str(error.problem).partition('"')[2].partition('"')[0]
            raise UserError(f"{self._mark(error)}: key '{key}' is given twice; remove one") from None
        except MarkedYAMLError as error:
            raise UserError(f"{self._mark(error)}: not YAML: {error.problem or error.context}") from None
        except (OSError, UnicodeDecodeError, YAMLError) as error:
            raise UserError(f"{self.path}: cannot be read: {error}") from None

    def _mark(self, error: MarkedYAMLError) -> str:
        mark = error.problem_mark or error.context_mark
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self.path)

    @property
    def plain(self) -> Any:
        """The content as plain dictionaries, lists and scalars."""
        return _plain(self.node)

    def place(self, location: Location, *, key: bool = False) -> str:
        """``file:line:column`` of the deepest node on the way to ``location``; of its key if ``key``."""
        node, line, column = self.node, 0, 0
        for i, step in enumerate(location):
            if isinstance(node, CommentedMap) and step in node:
                last = key and i == len(location) - 1
                line, column = node.lc.key(step) if last else node.lc.value(step)
            elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
                line, column = node.lc.item(step)
            else:
                break
            node = node[step]
        return f"{self.path}:{line + 1}:{column + 1}"


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(k): _plain(v) for k, v in node.items()}
    if isinstance(node, list):
        return [_plain(v) for v in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
