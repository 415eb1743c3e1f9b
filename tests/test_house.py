"""The house: what is where, what may import what, and how long files and functions may be."""

import ast
import importlib
import io
import re
import statistics
import subprocess
import sys
import tokenize
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lvmbench

ROOT = Path(lvmbench.__file__).parents[1]
HARNESS = sorted((ROOT / "lvmbench").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
each_plugin_file = pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def test_harness_never_imports_the_reference_plugins():
    """Every module of lvmbench, in a fresh interpreter.

    A module that lacks an optional package is passed over.
    """
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in HARNESS]
    code = (
        "import importlib, sys\n"
        f"for name in {[n for n in names if not n.endswith('__main__')]!r}:\n"
        "    importlib.import_module(name)\n"
        "print([m for m in sys.modules if m.startswith('lvmbench_plugins')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_harness_names_the_reference_plugins_nowhere():
    assert [str(p) for p in HARNESS if re.search(r"\blvmbench_plugins\b", p.read_text())] == []


def imports(path):
    """Each (module, name) that a file imports; name is None for plain imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


PUBLIC = {"checks", "data", "distributions", "kernels", "networks"}
"""The packages whose names are public beside those of lvmbench itself."""


@each_plugin_file
def test_plugins_import_only_public_names(path):
    for module, name in imports(path):
        if module == "lvmbench":
            assert name in (None, *lvmbench.__all__)
        elif module.startswith("lvmbench."):
            assert module.split(".")[1] in PUBLIC
            assert not any(part.startswith("_") for part in (*module.split("."), name))
            assert hasattr(importlib.import_module(module), name)


def lines_of_the_house():
    """The rooms of each line of the plan in CONTRIBUTING.md, the lowest first."""
    plan = re.search(r"```text\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL).group(1)
    return [line.strip().split(", ") for line in plan.strip().splitlines()][::-1]


HEIGHT = {room: i for i, line in enumerate(lines_of_the_house()) for room in line}
DOORS = {"__init__", "__main__"}
"""The modules by which one enters: they import from everywhere."""


def rooms_used(path):
    """The rooms that a module imports from, each with whether it does so only for the sake of types."""

    def visit(node, types):
        for child in ast.iter_child_nodes(node):
            for_types = types or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING")
            if isinstance(child, ast.ImportFrom) and child.module == "lvmbench":
                assert [alias.name for alias in child.names] == ["__version__"]
            elif isinstance(child, ast.ImportFrom) and child.module.startswith("lvmbench."):
                yield child.module.split(".")[1], for_types
            elif isinstance(child, ast.Import):
                assert not any(alias.name.startswith("lvmbench") for alias in child.names)
            yield from visit(child, for_types)

    yield from visit(ast.parse(path.read_text()), types=False)


def modules_of_rooms():
    for path in HARNESS:
        room = path.relative_to(ROOT / "lvmbench").parts[0].removesuffix(".py")
        if room not in DOORS:
            yield room, path


def test_the_plan_names_every_room_once():
    rooms = {room for room, _ in modules_of_rooms()}
    assert sorted(room for line in lines_of_the_house() for room in line) == sorted(rooms)


def test_imports_point_downwards():
    """Those for the sake of types, too."""
    used = ((room, other, path.name) for room, path in modules_of_rooms() for other, _ in rooms_used(path))
    assert [(room, other, name) for room, other, name in used if HEIGHT[other] > HEIGHT[room]] == []


def test_no_imports_of_a_running_program_go_in_a_circle():
    graph = {room: set() for room in HEIGHT}
    for room, path in modules_of_rooms():
        graph[room] |= {other for other, for_types in rooms_used(path) if not for_types and other != room}
    assert len([*TopologicalSorter(graph).static_order()]) == len(HEIGHT)


def test_few_modules_stand_outside_the_rooms():
    assert len([*(ROOT / "lvmbench").glob("*.py")]) <= 27


MADE_OF = {"posteriors": {"estimators", "objectives"}}
"""Of what other kinds components may be made: inference per datum ascends a bound by an estimator."""


@each_plugin_file
def test_kinds_do_not_import_each_other(path):
    """A component uses another only through the contracts; what kinds share stands beside them."""
    kind = path.relative_to(ROOT / "plugins" / "lvmbench_plugins").parts[0]
    used = {m.split(".")[1] for m, _ in imports(path) if m.startswith("lvmbench_plugins.")}
    shared = {name for name in used if name.startswith("_")}
    assert used - shared - {kind} <= MADE_OF.get(kind, set())


def test_public_names_are_all_there():
    assert all(getattr(lvmbench, name) is not None for name in lvmbench.__all__)
    assert dir(lvmbench) == sorted(lvmbench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lvmbench.nothing  # noqa: B018


def code_lines(source, tree):
    """The line numbers that hold code: no blank lines, comments or docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {n for t in tokens if t.type not in NOT_CODE for n in range(t.start[0], t.end[0] + 1)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return lines


def function_sizes():
    """Lines of code of each function, its signature included."""
    for path in (*HARNESS, *PLUGINS):
        source = path.read_text()
        tree = ast.parse(source)
        lines = code_lines(source, tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield len(lines & set(range(node.lineno, node.end_lineno + 1))), f"{path.name}:{node.name}"


def test_functions_are_short():
    sizes = sorted(function_sizes())
    assert statistics.median(size for size, _ in sizes) <= 8
    assert [entry for entry in sizes[: int(0.95 * len(sizes))] if entry[0] > 25] == []


def test_files_are_short():
    sizes = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in (*HARNESS, *PLUGINS)}
    assert {name: size for name, size in sizes.items() if size > 350} == {}


def answers():
    """The file and the name in it of each answer of the page for newcomers."""
    page = (ROOT / "docs" / "find-your-way.md").read_text()
    return re.findall(r"^\| .* \| `(.*)` \| `(.*)` \|$", page, re.MULTILINE)


def names_in(body, before=""):
    """What a file defines: functions, classes and, after a dot, their methods."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield before + node.name
        if isinstance(node, ast.ClassDef):
            yield from names_in(node.body, f"{node.name}.")


def test_newcomers_find_what_they_look_for():
    lost = [
        (file, name)
        for file, name in answers()
        if name not in names_in(ast.parse((ROOT / file).read_text()).body)
    ]
    assert (len(answers()) >= 10, lost) == (True, [])
