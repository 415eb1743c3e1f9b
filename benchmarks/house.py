"""How a checkout is built: modules, lengths of functions, comments, long lines, what is there twice.

Usage: python benchmarks/house.py [CHECKOUT ...]

Functions are measured in lines of code, their signature included and docstrings left out. Two functions
are the same where they are once their own name, their variables and their docstring are taken away;
those of fewer than `LEAST` statements are passed over.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

SOURCES = ("lvmbench", "plugins/lvmbench_plugins")
WIDTH = 110
LEAST = 3
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def files(checkout: Path) -> list[Path]:
    """The modules of the library and of its reference components."""
    return [path for source in SOURCES for path in sorted((checkout / source).rglob("*.py"))]


def docstrings(tree: ast.AST) -> Iterator[ast.Expr]:
    """The texts that stand as statements: docstrings, and those below a constant."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node


def code_lines(source: str) -> set[int]:
    """The numbers of the lines that hold code."""
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in LAYOUT]
    lines = {n for t in tokens for n in range(t.start[0], t.end[0] + 1)}
    return lines.difference(*(range(e.lineno, e.end_lineno + 1) for e in docstrings(ast.parse(source))))


def sizes(path: Path) -> Iterator[tuple[int, str]]:
    """Each function of a module with its lines of code."""
    source = path.read_text(encoding="utf-8")
    lines = code_lines(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, FUNCTIONS):
            yield len(lines.intersection(range(node.lineno, node.end_lineno + 1))), f"{path.stem}.{node.name}"


class Bare(ast.NodeTransformer):
    """Takes away what two copies of a function may differ in: names of variables, and docstrings."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """A variable by the place where it first appears."""
        return ast.Name(self.names.setdefault(node.id, f"v{len(self.names)}"), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """An argument as the variable that it is, without its type."""
        return ast.arg(self.names.setdefault(node.arg, f"v{len(self.names)}"))

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """A statement, unless it is a text."""
        return None if isinstance(node.value, ast.Constant) else ast.Expr(self.visit(node.value))


def shape(function: ast.FunctionDef) -> str | None:
    """What a function does, without its names; None for one that is short."""
    if len(function.body) - (ast.get_docstring(function) is not None) < LEAST:
        return None
    bare = Bare()
    arguments = [
        bare.visit(argument) for argument in ast.walk(function.args) if isinstance(argument, ast.arg)
    ]
    body = [bare.visit(statement) for statement in function.body]
    return ast.dump(ast.Module([*arguments, *filter(None, body)], []))


def copies(paths: list[Path]) -> list[list[str]]:
    """The functions that are there more than once."""
    alike = defaultdict(list)
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, FUNCTIONS) and (form := shape(node)):
                alike[form].append(f"{path.stem}.{node.name}")
    return [names for names in alike.values() if len(names) > 1]


def comments(path: Path) -> int:
    """The comments of a module but for those that speak to a tool."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    texts = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return sum(not text.startswith(("# noqa", "# type:")) for text in texts)


def report(checkout: Path) -> None:
    """Print the figures of one checkout."""
    paths = files(checkout)
    folders = Counter(str(path.parent.relative_to(checkout)) for path in paths)
    longest = sorted(size for path in paths for size in sizes(path))
    counts = [size for size, _ in longest]
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    code = sum(len(code_lines(path.read_text(encoding="utf-8"))) for path in paths)
    tenths = statistics.quantiles(counts, n=10)
    double = copies(paths)
    print(f"{checkout}: {len(paths)} modules, {len(lines)} lines, {code} of code")
    print("modules: " + ", ".join(f"{folder} {n}" for folder, n in sorted(folders.items())))
    print(
        f"functions: {len(counts)}, median {statistics.median(counts):g} lines, 90% {tenths[-1]:.0f}, "
        f"longest {', '.join(f'{name} {size}' for size, name in longest[:-4:-1])}"
    )
    print(f"comments: {100 * sum(map(comments, paths)) / code:.1f} in 100 lines of code")
    print(f"lines over {WIDTH}: {sum(len(line) > WIDTH for line in lines)}")
    print(f"functions that are there more than once: {sum(map(len, double))}, in {len(double)} forms")
    for names in double:
        print(f"  {', '.join(names)}")


if __name__ == "__main__":
    for argument in sys.argv[1:] or ["."]:
        report(Path(argument))
