"""What is to be said of a component; the command line and the documentation each set it in their own way."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from lvmbench.errors import LvmbenchError
from lvmbench.options import BASE, VARIES, options_model
from lvmbench.registry.catalogue import Entry

_SECTION = re.compile(r"^(References|Arguments|Example|Returns):$", re.MULTILINE)
_LIMITS = ("gt", "ge", "lt", "le")


@dataclass(frozen=True)
class Option:
    """An option of a component.

    Arguments:
        name: What it is called.
        types: The names of the types that it takes, ``NoneType`` where it may be none; where it is another
            component, the kind of it.
        choices: The values that it takes, where they are few.
        limits: What bounds it: ``gt``, ``ge``, ``lt`` or ``le``, and the bound.
        default: Its default in the grammar of names; None where it must be given.
        meaning: What its docstring says of it.
        varies: Whether the runs of one pack may differ in it.
    """

    name: str
    types: tuple[str, ...]
    choices: tuple[str, ...]
    limits: tuple[tuple[str, Any], ...]
    default: str | None
    meaning: str
    varies: bool = False


@dataclass(frozen=True)
class Description:
    """A component as its docstring, its options and its declarations describe it.

    Arguments:
        entry: What is registered.
        text: Its docstring before the first section: one sentence, the formula, what else there is to know.
        references: The works that it is from.
        example: An example that can be run.
        options: Its options, in order.
    """

    entry: Entry
    text: str
    references: tuple[str, ...]
    example: str
    options: tuple[Option, ...]

    @classmethod
    def of(cls, entry: Entry) -> Description:
        """Describe what is registered; raises `Unavailable` where it cannot be imported."""
        component: type = entry.load()
        text, sections = _sections(inspect.cleandoc(component.__doc__ or ""))
        works = tuple(
            " ".join(work.split()) for work in re.split(r";\n", sections.get("References", "")) if work
        )
        meanings = _arguments(sections.get("Arguments", ""))
        fields = options_model(component).model_fields
        options = tuple(
            _option(entry.kind, name, field, meanings.get(name, "")) for name, field in fields.items()
        )
        return cls(entry, text, works, sections.get("Example", ""), options)

    @property
    def component(self) -> Any:
        """The class."""
        return self.entry.load()

    @property
    def requires(self) -> list[str]:
        """What it needs, each as ``kind.word``, at its default options where it can be made alone."""
        try:
            return sorted(self.component().requires)
        except TypeError:
            return sorted(self.component.requires)

    def provides(self, *, measured: bool = False) -> frozenset[str]:
        """What it offers, with its options at their defaults, in training or when measured."""
        return _PROVIDED.get(self.entry.kind, _declared)(self.component, measured)

    @property
    def depends(self) -> bool:
        """Whether what it offers is only known with its data or its partners."""
        if self.entry.kind == "posterior":
            return self.component.distribution is None
        return self.entry.kind == "dataset" and _loaded(self.component) is None


def _sections(text: str) -> tuple[str, dict[str, str]]:
    """The text before the first section, and each section with its indent taken away."""
    head, *rest = _SECTION.split(text)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return head.strip(), {name: inspect.cleandoc("\n" + body) for name, body in pairs}


def _arguments(text: str) -> dict[str, str]:
    """What each argument means."""
    items = re.findall(r"^(\w+): ((?:.+\n?)(?:[ ]+.+\n?)*)", text, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in items}


def _option(kind: str, name: str, field: FieldInfo, meaning: str) -> Option:
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    rules = [(word, getattr(rule, word, None)) for rule in field.metadata for word in _LIMITS]
    limits = tuple((word, limit) for word, limit in rules if limit is not None)
    default = None if field.is_required() else _written(field.default)
    types = () if choices else (kind,) if BASE in field.metadata else tuple(_types(field.annotation))
    varies = VARIES in field.metadata
    return Option(name, types, tuple(map(str, choices)), limits, default, meaning, varies)


def _written(value: object) -> str:
    """A value as names have it.

    >>> _written(None), _written(True), _written(0.5)
    ('none', 'true', '0.5')
    """
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _types(annotation: Any) -> Iterator[str]:
    """The names of an annotation's types, whatever rules they have."""
    if isinstance(annotation, type):
        yield annotation.__name__
    elif get_origin(annotation) is Annotated:
        yield from _types(get_args(annotation)[0])
    else:
        for inner in get_args(annotation):
            yield from _types(inner)


def _declared(cls: Any, measured: bool) -> frozenset[str]:
    return frozenset(cls.provides)


def _of_objective(cls: Any, measured: bool) -> frozenset[str]:
    from lvmbench.combinations.requirements import DECLARED

    made = cls()
    return frozenset(made.provides) | {word for word in DECLARED if getattr(made, word)}


def _of_dataset(cls: Any, measured: bool) -> frozenset[str]:
    return frozenset(cls.provides) | (_loaded(cls) or frozenset())


def _of_decoder(cls: Any, measured: bool) -> frozenset[str]:
    from lvmbench.distributions import traits_of

    return frozenset({*cls.provides, *traits_of(cls.distribution)})


def _of_prior(cls: Any, measured: bool) -> frozenset[str]:
    from lvmbench.distributions import traits_of

    p = (measured and cls.distribution.law_type) or cls.distribution
    # the latent space of a prior that is built says so, and there is none yet
    shape = set() if "steps" in traits_of(cls.distribution) else {"fixed"}
    return frozenset({*cls.provides, *traits_of(p), p.support, *shape})


def _of_posterior(cls: Any, measured: bool) -> frozenset[str]:
    """What the distribution that it returns can do, too, unless its pair decides which one that is."""
    from lvmbench.combinations.requirements import posterior_traits

    q = (measured and cls.distribution and cls.distribution.law_type) or cls.distribution
    return frozenset(cls.provides) | (posterior_traits(q) if q else frozenset())


_PROVIDED = {
    "dataset": _of_dataset,
    "prior": _of_prior,
    "posterior": _of_posterior,
    "decoder": _of_decoder,
    "objective": _of_objective,
}


@functools.cache
def _loaded(cls: Any) -> frozenset[str] | None:
    """What a data set offers, where it can be loaded without files and options."""
    try:
        return None if cls.files else frozenset(cls().load().capabilities)
    except (TypeError, LvmbenchError):
        return None
