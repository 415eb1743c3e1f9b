"""Checks of what a class declares and documents."""

from __future__ import annotations

import doctest
import inspect
import io
import re
import sys

import torch

from lvmbench.checks.contract import BUILT, applies, contract, require
from lvmbench.checks.specimen import Specimen
from lvmbench.component import Metric
from lvmbench.data.files import RawFile
from lvmbench.dataset import Dataset
from lvmbench.errors import nearest
from lvmbench.evaluator import Evaluator
from lvmbench.kinds import COMPONENTS, TABLE
from lvmbench.options import options_model
from lvmbench.text import printable

POSITIONAL = {
    "prior": ["data", "latent"],
    "posterior": ["data", "space"],
    "decoder": ["data", "space"],
    "estimator": ["data", "space"],
}
READ = "component.Component"


@contract(
    *COMPONENTS,
    due="The class is a concrete subclass of its kind's base class.",
    read="registry.hookspecs.Register",
    once=True,
)
def class_is_of_its_kind(specimen: Specimen) -> None:
    cls, base = specimen.cls, TABLE[specimen.kind].base()
    require(
        isinstance(cls, type) and issubclass(cls, base),
        f"{cls!r} is not a subclass of {base.__name__}",
        f"derive it from lvmbench.{base.__name__}",
    )
    missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
    require(not missing, f"the class is abstract: {missing} is missing", "define it")


@contract(
    *COMPONENTS,
    due="Options are annotated keyword-only arguments, after the positional ones of the kind.",
    read="options",
    once=True,
)
def options_are_keyword_only(specimen: Specimen) -> None:
    parameters = _parameters(specimen.cls)
    found = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    due = POSITIONAL.get(specimen.kind, [])
    require(
        len(found) == len(due) and all(p.kind is not p.VAR_POSITIONAL for p in parameters),
        f"__init__ takes the positional arguments ({', '.join(found)})",
        f"they are ({', '.join(due)}); put options after *",
    )
    bare = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.annotation is p.empty]
    require(not bare, f"options without a type: {', '.join(bare)}", "annotate them")
    options_model(specimen.cls)


@contract(
    *COMPONENTS,
    due="The first line of the docstring is one sentence.",
    read="registry.catalogue.Entry",
    once=True,
)
def summary_is_one_sentence(specimen: Specimen) -> None:
    first = _docstring(specimen).partition("\n")[0]
    require(
        len(first) > 10 and first.endswith("."), f"it is {first!r}", "end the first line with a full stop"
    )


@contract(*BUILT, due="The docstring states the formula.", read=READ, once=True)
def formula_is_stated(specimen: Specimen) -> None:
    text = _docstring(specimen)
    require(".. math::" in text, "there is no '.. math::' in it", "state the formula of the class")


@contract(*COMPONENTS, due="The docstring cites its sources with year and link.", read=READ, once=True)
def references_have_year_and_link(specimen: Specimen) -> None:
    cited = re.split(r"\n\n", _docstring(specimen).partition("References:")[2])[0]
    require(
        bool(cited.strip()), "there is no 'References:'", "cite who had the idea: Title (Authors, year), link"
    )
    require(bool(re.search(r"\b(1[89]|20)\d\d\b", cited)), "there is no year in References")
    require(bool(re.search(r"https?://", cited)), "there is no link in References")


@contract(*COMPONENTS, due="'Arguments:' in the docstring describes every option.", read="options", once=True)
def options_are_documented(specimen: Specimen) -> None:
    documented = _docstring(specimen).partition("Arguments:")[2]
    absent = [name for name in options_model(specimen.cls).model_fields if f"    {name}: " not in documented]
    require(
        not absent, f"undocumented: {', '.join(absent)}", "write '    option: What it is.' under Arguments"
    )


@contract(
    *COMPONENTS, due="The docstring has an example that runs and prints what it says.", read=READ, once=True
)
def example_runs(specimen: Specimen) -> None:
    cls, text = specimen.cls, _docstring(specimen)
    require(">>> " in text.partition("Example:")[2], "there is no '>>> ' below 'Example:'", "show one use")
    module = sys.modules.get(cls.__module__)
    names = {**vars(module)} if module else {}
    names |= {"torch": torch, cls.__name__: cls}
    test = doctest.DocTestParser().get_doctest(text, names, cls.__name__, None, 0)
    output = io.StringIO()
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    failed = runner.run(test, out=output.write).failed
    said = " ".join(output.getvalue().partition("Failed example:")[2].split())
    require(not failed, f"the example fails: {said[:300]}")


@contract(
    *COMPONENTS,
    due="provides and requires are sets of names, requires written kind.capability, version is "
    "a whole number.",
    read=READ,
    once=True,
)
def declarations_are_well_formed(specimen: Specimen) -> None:
    cls = specimen.cls
    for declared in ("provides", "requires"):
        names = getattr(cls, declared)
        require(
            isinstance(names, frozenset) and all(isinstance(name, str) and name for name in names),
            f"{declared} is {names!r}",
            "write frozenset({...}) with names",
        )
    owners = (*COMPONENTS, "model")
    wrong = [r for r in cls.requires if r.partition(".")[0] not in owners or not r.partition(".")[2]]
    require(not wrong, f"requires has {wrong}", f"write kind.capability, with a kind of {', '.join(owners)}")
    mixed = [name for name in cls.provides if "." in name]
    require(not mixed, f"provides has {mixed}", "what it provides is written without its kind")
    require(type(cls.version) is int and cls.version >= 1, f"version is {cls.version!r}")
    require(type(cls.vectorizable) is bool, f"vectorizable is {cls.vectorizable!r}")


LONGEST = 40
"""So many signs has the title of a metric at most, to be the head of a column."""


@contract(
    "evaluator",
    due="Metrics are declared with title, unit, direction and meaning.",
    read="evaluator.Metric",
    once=True,
)
def metrics_are_declared(specimen: Specimen) -> None:
    metrics = getattr(specimen.cls, "metrics", None)
    require(bool(metrics), "metrics is empty or missing", "declare a Metric for each name")
    for name, metric in dict(metrics or {}).items():
        whole = isinstance(metric, Metric) and metric.title and metric.unit and metric.meaning
        require(bool(whole), f"metric '{name}' is {metric!r}", "give its title, unit and meaning")
        fits = len(metric.title) <= LONGEST and metric.title == printable(" ".join(metric.title.split()))
        require(fits, f"the title of '{name}' is {metric.title!r}", f"one line of at most {LONGEST} signs")
        directions = ("higher", "lower", "neither")
        require(
            metric.better in directions,
            f"metric '{name}' is better '{metric.better}'",
            f"one of {directions}",
        )


@contract(
    "evaluator",
    due="Each metric has a title of its own, and what boards show are its metrics, each once.",
    read="evaluator.Evaluator",
    once=True,
)
def titles_and_board_are_of_its_metrics(specimen: Specimen) -> None:
    metrics, board = _metrics_of(specimen.cls), tuple(specimen.cls.board)
    titles = [metric.title.lower() for metric in metrics.values()]
    twice = [title for title in titles if titles.count(title) > 1]
    require(not twice, f"{twice[:1]} is the title of two metrics", "give each another")
    shown = [figure.partition("[")[0] for figure in board]
    strange = [name for name in shown if name not in metrics]
    require(
        not strange, f"board has {strange[:1]}", f"one of its metrics{nearest(''.join(strange[:1]), metrics)}"
    )
    require(len(set(shown)) == len(shown), f"board is {board}", "at most one figure of each metric")


@contract(
    "evaluator",
    due="A metric is called and means the same in every evaluator that has it.",
    read="evaluator.Metric",
    once=True,
)
def metrics_mean_the_same_everywhere(specimen: Specimen) -> None:
    for entry in specimen.bench.catalogue.entries("evaluator"):
        others = _metrics_of(entry.load()) if entry.name != specimen.entry.name else {}
        for name in others.keys() & specimen.cls.metrics.keys():
            ours, theirs = specimen.cls.metrics[name], others[name]
            require(
                (ours.title, ours.unit, ours.better) == (theirs.title, theirs.unit, theirs.better),
                f"'{name}' is '{ours.title}' in {ours.unit}, {ours.better} is better; evaluator "
                f"'{entry.name}' has it as '{theirs.title}' in {theirs.unit}, {theirs.better} is better",
                "choose another name, or the same words",
            )


def _metrics_of(cls: type[Evaluator]) -> dict[str, Metric]:
    return dict(getattr(cls, "metrics", {}))


@contract(
    "dataset", due="Raw files are declared with path, checksum and URL.", read="data.files.RawFile", once=True
)
def raw_files_are_declared(specimen: Specimen) -> None:
    cls: type[Dataset] = specimen.cls
    applies(bool(cls.files), "it reads no raw files")
    for file in cls.files:
        good = isinstance(file, RawFile) and re.fullmatch("[0-9a-f]{64}|md5:[0-9a-f]{32}", file.checksum)
        require(bool(good), f"{file!r}", "its sha256 is 64 hexadecimal digits")
        require(file.url.startswith("http") and not file.path.startswith("/"), f"{file!r}")


def _parameters(cls: type) -> list[inspect.Parameter]:
    """The arguments of ``__init__``; none where it is inherited from torch or from Python."""
    initial = cls.__init__  # type: ignore[misc]
    if initial in (torch.nn.Module.__init__, object.__init__):
        return []
    return list(inspect.signature(initial).parameters.values())[1:]


def _docstring(specimen: Specimen) -> str:
    return inspect.cleandoc(specimen.cls.__doc__ or "")
