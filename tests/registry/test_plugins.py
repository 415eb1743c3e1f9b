"""The loader: every plugin alone, every problem listed, provenance kept."""

import subprocess
import sys
import textwrap

import pytest

from lvmbench.errors import Unavailable, UserError
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.names import Ref

REFERENCE = sorted((e.kind, e.name) for e in load_catalogue().entries())
HOOK = "import lvmbench\n\n@lvmbench.hookimpl\ndef lvmbench_register(register):\n    "


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return path


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution of one module, as `importlib.metadata` sees it, for one test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def make(distribution, source, point=None, module=None, version="1.0"):
        module = module or distribution.replace("-", "_")
        write(tmp_path / f"{module}.py", source)
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        write(info / "METADATA", f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        write(
            info / "entry_points.txt",
            f"[lvmbench]\n{point or distribution.removeprefix('lvmbench-')} = {module}\n",
        )
        return tmp_path / f"{module}.py"

    yield make
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def only_problem(catalogue):
    """The one problem of a catalogue that otherwise holds the reference components."""
    assert set(REFERENCE) <= {(e.kind, e.name) for e in catalogue.entries()}
    (problem,) = catalogue.problems
    return problem


def test_installed_plugin_is_found_with_its_distribution_and_version(install):
    install(
        "lvmbench-foo",
        HOOK
        + "register.prior('foo', 'lvmbench_foo:Foo')\n\n"
        + "class Foo(lvmbench.Prior):\n    '''A foo.'''\n    version = 3\n",
    )
    catalogue = load_catalogue()
    entry = catalogue.entry("prior", "foo")
    assert (entry.plugin, entry.distribution, entry.version) == ("foo", "lvmbench-foo", "1.0")
    assert entry.summary == "A foo."
    assert entry.load().__name__ == "Foo"
    assert catalogue.provenance({"prior": Ref("foo")}) == {
        "prior": {"plugin": "foo", "distribution": "lvmbench-foo", "version": "1.0", "component": 3}
    }
    assert catalogue.problems == ()


def test_every_reference_component_says_where_it_comes_from():
    catalogue = load_catalogue()
    assert ("reference", "lvmbench") in {(e.plugin, e.distribution) for e in catalogue.entries()}
    assert catalogue.problems == ()
    assert catalogue.names("prior") == sorted(catalogue.names("prior"))


def test_component_name_taken_names_both_owners_and_the_rest_works(install):
    install("lvmbench-a", HOOK + "register.prior('mixture', 'a:A'); register.prior('other', 'a:B')")
    install("lvmbench-b", HOOK + "register.prior('fine', 'b:B')")
    catalogue = load_catalogue()
    problem = only_problem(catalogue)
    assert (problem.plugin, problem.distribution, problem.version, problem.stage) == (
        "a",
        "lvmbench-a",
        "1.0",
        "register",
    )
    for owner in ("prior 'mixture'", "plugin 'reference' (lvmbench ", "plugin 'a' (lvmbench-a 1.0)"):
        assert owner in str(problem)
    assert catalogue.entry("prior", "mixture").distribution == "lvmbench"
    assert ("prior", "fine") in catalogue
    assert ("prior", "other") not in catalogue


def test_one_plugin_may_not_use_a_name_twice(install):
    install("lvmbench-a", HOOK + "register.prior('x', 'a:A'); register.prior('x', 'a:B')")
    assert "prior 'x' is already registered by plugin 'a'" in only_problem(load_catalogue()).message


def test_names_of_different_kinds_do_not_clash(install):
    install("lvmbench-a", HOOK + "register.prior('x', 'a:A'); register.decoder('x', 'a:B')")
    assert load_catalogue().problems == ()


def test_second_entry_point_of_a_name_is_listed(install):
    install("lvmbench-a", HOOK + "register.prior('a', 'a:A')", point="same")
    install("lvmbench-b", HOOK + "register.prior('b', 'b:B')", point="same")
    catalogue = load_catalogue()
    problem = only_problem(catalogue)
    assert (problem.distribution, problem.stage) == ("lvmbench-b", "validate")
    assert "another plugin is called 'same'" in problem.message
    assert ("prior", "a") in catalogue


def test_plugin_that_fails_does_not_keep_its_name(install):
    install("lvmbench-a", HOOK + "1 / 0", point="same")
    install("lvmbench-b", HOOK + "register.prior('b', 'b:B')", point="same")
    catalogue = load_catalogue()
    assert only_problem(catalogue).distribution == "lvmbench-a"
    assert catalogue.entry("prior", "b").distribution == "lvmbench-b"


def test_entry_point_of_a_third_party_cannot_take_the_name_of_the_host(install):
    install("aaa-first", HOOK + "register.prior('a', 'a:A')", point="reference")
    assert only_problem(load_catalogue()).distribution == "aaa-first"


BROKEN = {
    "import error": (
        "import nothing_of_this_name",
        "import",
        "ModuleNotFoundError: No module named 'nothing_of_this_name'",
    ),
    "syntax error": ("def f(:", "import", "SyntaxError: "),
    "system exit": ("raise SystemExit(3)", "import", "SystemExit: 3"),
    "any exception": ("1 / 0", "import", "ZeroDivisionError: division by zero"),
    "misspelt hook": (
        "import lvmbench\n@lvmbench.hookimpl\ndef lvmbench_regster(register): ...",
        "unknown-hook",
        "there is no hook 'lvmbench_regster'; did you mean 'lvmbench_register'?",
    ),
    "no hook": (
        "x = 1",
        "unknown-hook",
        "nothing is marked with @lvmbench.hookimpl; implement lvmbench_register(register)",
    ),
    "unmarked hook": ("def lvmbench_register(register): ...", "unknown-hook", "nothing is marked"),
    "lazy names": ("def __dir__(): return ['lazy']", "unknown-hook", "nothing is marked"),
    "wrong signature": (
        "import lvmbench\n@lvmbench.hookimpl\ndef lvmbench_register(registry): ...",
        "validate",
        "PluginValidationError",
    ),
    "register raises": (HOOK + "raise KeyError('lost')", "register", "KeyError: 'lost'"),
    "register exits": (HOOK + "raise SystemExit(1)", "register", "SystemExit: 1"),
    "unknown kind": (
        HOOK + "register.priorr('x', 'a:A')",
        "register",
        "AttributeError: register has no kind 'priorr'; did you mean 'prior'",
    ),
    "bad name": (HOOK + "register.prior('a b', 'a:A')", "register", "prior name 'a b' must be letters"),
    "name is not text": (HOOK + "register.prior(3, 'a:A')", "register", "prior name 3 must be letters"),
    "bad target": (
        HOOK + "register.prior('x', 'a.A')",
        "register",
        "must be a class or 'package.module:Class', got 'a.A'",
    ),
    "target is an object": (
        HOOK + "register.prior('x', object())",
        "register",
        "prior 'x': the target must be a class",
    ),
    "half registered": (HOOK + "register.prior('half', 'a:A'); 1 / 0", "register", "ZeroDivisionError"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_plugin_is_a_listed_problem_and_leaves_nothing_behind(install, how):
    source, stage, message = BROKEN[how]
    install("lvmbench-bad", source, version="0.3")
    install("lvmbench-good", HOOK + "register.prior('good', 'good:Good')")
    catalogue = load_catalogue()
    problem = only_problem(catalogue)
    assert (problem.plugin, problem.distribution, problem.version, problem.stage) == (
        "bad",
        "lvmbench-bad",
        "0.3",
        stage,
    )
    assert message in problem.message
    assert "\n" not in problem.message
    assert ("lvmbench_bad.py" in problem.traceback) or stage in ("unknown-hook", "validate")
    assert ("prior", "good") in catalogue
    assert not [e for e in catalogue.entries() if e.plugin == "bad"]


def test_local_file_is_loaded_with_its_checksum_as_version(install, tmp_path):
    path = write(
        tmp_path / "my_part.py",
        HOOK + "register.prior('mine', Mine)\n\nclass Mine(lvmbench.Prior):\n    '''Mine.'''\n",
    )
    for _ in range(2):  # a second catalogue in the same process
        catalogue = load_catalogue(PluginSelection(extra=(str(path),)))
        assert catalogue.problems == ()
        entry = catalogue.entry("prior", "mine")
        assert (entry.plugin, entry.distribution, entry.summary) == ("my_part", str(path), "Mine.")
        assert len(entry.version) == 8
        assert entry.load().__name__ == "Mine"


def test_local_file_may_name_its_own_classes_lazily(install, tmp_path):
    path = write(
        tmp_path / "my_lazy.py",
        HOOK + "register.prior('mine', 'my_lazy:Mine')\n\nclass Mine(lvmbench.Prior):\n    '''Mine.'''\n",
    )
    sys.path.remove(str(tmp_path))
    entry = load_catalogue(PluginSelection(extra=(str(path),))).entry("prior", "mine")
    assert entry.load().__name__ == "Mine"
    assert entry.summary == "Mine."


def test_local_file_does_not_replace_a_module_of_its_name(install, tmp_path):
    path = write(tmp_path / "textwrap.py", HOOK + "register.prior('mine', 'a:A')")
    catalogue = load_catalogue(PluginSelection(extra=(str(path),)))
    assert sys.modules["textwrap"] is textwrap
    assert "a module called 'textwrap' is loaded already" in only_problem(catalogue).message


def test_local_module_is_loaded(install, tmp_path, monkeypatch):
    write(tmp_path / "my_module.py", HOOK + "register.prior('mine', 'a:A')")
    entry = load_catalogue(PluginSelection(extra=("my_module",))).entry("prior", "mine")
    assert (entry.plugin, entry.distribution, entry.version) == ("my_module", "my_module", "local")


def test_local_module_is_found_beside_a_folder_of_its_name(install, tmp_path, monkeypatch):
    write(tmp_path / "my_module.py", HOOK + "register.prior('mine', 'a:A')")
    (tmp_path / "elsewhere" / "my_module").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert ("prior", "mine") in load_catalogue(PluginSelection(extra=("my_module",)))


def test_broken_local_file_is_a_listed_problem(install, tmp_path):
    path = write(tmp_path / "my_broken.py", "1 / 0")
    problem = only_problem(load_catalogue(PluginSelection(extra=(str(path),))))
    assert (problem.stage, problem.message) == ("import", "ZeroDivisionError: division by zero")
    assert "my_broken" not in sys.modules


@pytest.mark.parametrize(
    "text", ["nothing/here.py", "here.py", "nothing_of_this_name", "nothing.of.this", "no such", "", "."]
)
def test_missing_local_plugin_is_a_user_error(text):
    with pytest.raises(
        UserError, match=r"--plugin: no (file|module) .*; give a .py file or the name of an importable module"
    ):
        load_catalogue(PluginSelection(extra=(text,)))


def test_blocked_plugin_is_not_even_imported(install):
    install("lvmbench-bad", "1 / 0")
    catalogue = load_catalogue(PluginSelection(blocked=("bad", "reference")))
    assert catalogue.entries() == []
    assert catalogue.problems == ()
    assert "lvmbench_bad" not in sys.modules


def test_unknown_blocked_name_is_a_user_error():
    with pytest.raises(UserError, match="--no-plugin: no plugin 'referense'; did you mean 'reference'?"):
        load_catalogue(PluginSelection(blocked=("referense",)))


LAZY = {
    "no module": ("nothing_of_this_name:X", "ModuleNotFoundError"),
    "no submodule": ("nothing.of.this:X", "ModuleNotFoundError"),
    "no class": ("lvmbench_lazy:X", "AttributeError"),
    "broken": ("lvmbench_rotten:X", "ZeroDivisionError"),
    "exits": ("lvmbench_exits:X", "SystemExit"),
}


@pytest.mark.parametrize("how", LAZY)
def test_target_that_cannot_be_imported_is_unavailable_naming_its_distribution(install, tmp_path, how):
    target, cause = LAZY[how]
    write(tmp_path / "lvmbench_rotten.py", "class X: ...\n1 / 0")
    write(tmp_path / "lvmbench_exits.py", "class X: ...\nraise SystemExit(1)")
    install("lvmbench-lazy", HOOK + f"register.prior('x', {target!r})")
    entry = load_catalogue().entry("prior", "x")
    assert isinstance(entry.summary, str)
    with pytest.raises(Unavailable, match=rf"prior 'x' of lvmbench-lazy 1.0 cannot be used: {cause}"):
        entry.load()


@pytest.mark.parametrize(
    "target", ["nothing:suite.yaml", "nothing.of.this:suite.yaml", "lvmbench:no/such.yaml"]
)
def test_suite_that_is_not_there_does_not_break_the_list(install, target):
    install("lvmbench-a", HOOK + f"register.suite('mine', {target!r})")
    assert load_catalogue().entry("suite", "mine").summary.startswith("unavailable: ")


@pytest.mark.parametrize(("kind", "name"), [("prior", "mine/own"), ("suite", "mine/"), ("suite", "/own")])
def test_the_name_of_a_suite_alone_may_have_parts(install, kind, name):
    install("lvmbench-a", HOOK + f"register.{kind}({name!r}, 'lvmbench:mine.yaml')")
    (problem,) = load_catalogue().problems
    assert f"{kind} name '{name}' must be letters, digits" in str(problem)
    install("lvmbench-b", HOOK + "register.suite('mine/own', 'lvmbench:mine.yaml')")
    assert ("suite", "mine/own") in load_catalogue()


def test_unknown_component_names_the_nearest_and_the_problems(install):
    install("lvmbench-bad", "1 / 0")
    with pytest.raises(
        UserError, match=r"unknown prior 'mixtur'; did you mean 'mixture'\? \(1 plugin problem\(s\)"
    ):
        load_catalogue().entry("prior", "mixtur")
    with pytest.raises(UserError, match="unknown prior 'x'; known: none"):
        Catalogue().entry("prior", "x")


def test_listing_everything_leaves_torch_alone():
    """In a fresh interpreter: import lvmbench, load the catalogue and read every summary."""
    code = """
        import sys, lvmbench
        from lvmbench.registry.loader import load_catalogue
        catalogue = load_catalogue()
        assert all(isinstance(e.summary, str) for e in catalogue.entries()), catalogue.entries()
        assert len(catalogue.entries()) > 5
        heavy = {"torch", "scipy", "pandas", "sklearn", "matplotlib", "sqlalchemy"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], check=True)


FITTING = [">=1,<2", "==1.0", "~=1.0", ">=0.5", "", ">=1"]
FOREIGN = {
    ">=2": (
        "it is written for version >=2 of the plugin interface, and this lvmbench has 1.0; update the "
        "plugin or lvmbench"
    ),
    "<1": "it is written for version <1 of the plugin interface",
    "one": "LVMBENCH_API is 'one', which is no range of versions; write '>=1,<2'",
    "1": "LVMBENCH_API is '1', which is no range",
    1: "LVMBENCH_API is 1, which is no range",
}


@pytest.mark.parametrize("declared", FITTING)
def test_plugin_may_say_which_interface_it_is_written_for(install, declared):
    install("lvmbench-good", f"LVMBENCH_API = {declared!r}\n" + HOOK + "register.prior('good', 'a:A')")
    catalogue = load_catalogue()
    assert catalogue.problems == ()
    assert ("prior", "good") in catalogue


@pytest.mark.parametrize("declared", FOREIGN)
def test_plugin_for_another_interface_is_a_listed_problem(install, declared):
    install("lvmbench-old", f"LVMBENCH_API = {declared!r}\n" + HOOK + "register.prior('old', 'a:A')")
    install("lvmbench-good", HOOK + "register.prior('good', 'a:A')")
    catalogue = load_catalogue()
    problem = only_problem(catalogue)
    assert (problem.plugin, problem.stage) == ("old", "version")
    assert problem.message.startswith(FOREIGN[declared])
    assert ("prior", "old") not in catalogue
    assert ("prior", "good") in catalogue


def test_module_that_cannot_be_looked_into_is_a_listed_problem(install):
    install("lvmbench-odd", "def __dir__(): 1 / 0")
    assert only_problem(load_catalogue()).stage == "validate"
