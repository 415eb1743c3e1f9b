"""Components given from Python: by name, as a class or as an instance, in a catalogue of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from types import new_class
from typing import Any

import numpy as np
import torch

from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import DataCache, latent_size
from lvmbench.combinations.requirements import Offer, default_estimators, first_suitable
from lvmbench.component import Component
from lvmbench.dataset import Data, Dataset
from lvmbench.errors import Refusal, Unavailable, UserError
from lvmbench.kinds import TABLE
from lvmbench.objective import Objective
from lvmbench.prior import Prior
from lvmbench.registry.catalogue import Catalogue, Entry
from lvmbench.registry.names import Ref

Given = str | Ref | type[Component] | Component | Data | Mapping[Any, Mapping[str, Any]]
"""A component: its name with options, its class, an instance, or a mapping of name or class to options."""

SHOWN = 60
"""How much of what cannot be used is shown."""


class _Loaded(Dataset):
    """Data that is in memory already."""

    def __init__(self, data: Data) -> None:
        self.data = data

    def load(self) -> Data:
        return self.data


def admit(catalogue: Catalogue, kind: str, given: Given) -> tuple[Catalogue, Ref]:
    """The catalogue with a given component in it, and the name that the component has there.

    Raises `UserError` for what is no component of this kind, or has the name of another one.
    """
    if isinstance(given, Mapping):
        return _with_options(catalogue, kind, given)
    if isinstance(given, str | Ref):
        ref = Ref.parse(given) if isinstance(given, str) else given
        return catalogue, catalogue.canonical(kind, ref)
    if isinstance(given, Data):
        return admit(catalogue, kind, _Loaded(given))
    if isinstance(given, type):
        return _registered(catalogue, kind, given)
    return _held(catalogue, kind, given)


def combine(
    catalogue: Catalogue, given: dict[str, Given], estimator: Given | None, latent: int
) -> tuple[Catalogue, Combination]:
    """The combination of given components, and the catalogue that it is built from."""
    latent = plain(latent)
    if isinstance(latent, bool) or not isinstance(latent, int) or latent < 1:
        raise UserError(f"latent should be a whole number of at least 1, got {latent!r}")
    refs: dict[str, Ref] = {}
    for kind, component in given.items():
        catalogue, refs[kind] = admit(catalogue, kind, component)
    data = DataCache(catalogue)
    latent = latent_size(catalogue, refs["prior"], latent, lambda: data[refs["dataset"]].summary)
    if estimator is None:
        refs["estimator"] = _default_estimator(catalogue, refs, latent, data[refs["dataset"]])
    else:
        catalogue, refs["estimator"] = admit(catalogue, "estimator", estimator)
    return catalogue, Combination(refs, latent)


def _default_estimator(catalogue: Catalogue, refs: Mapping[str, Ref], latent: int, data: Data) -> Ref:
    """The objective's default for the other parts; its first where these refuse each other."""
    defaults = default_estimators(catalogue, refs["objective"])
    with suppress(Refusal, Unavailable), torch.random.fork_rng(devices=[]):
        offer = Offer.of(catalogue, refs, latent, data)
        objective = catalogue.build("objective", refs["objective"])
        return first_suitable(catalogue, defaults, objective, offer, data)
    return defaults[0]


def _with_options(
    catalogue: Catalogue, kind: str, given: Mapping[Any, Mapping[str, Any]]
) -> tuple[Catalogue, Ref]:
    if len(given) != 1:
        raise UserError(f"{kind}: give one component as {{name: {{option: value}}}}, got {len(given)}")
    ((head, options),) = given.items()
    catalogue, ref = admit(catalogue, kind, head)
    more = {name: plain(value) for name, value in (options or {}).items()}
    return catalogue, catalogue.canonical(kind, Ref(ref.name, {**ref.options, **more}))


def _registered(catalogue: Catalogue, kind: str, cls: type) -> tuple[Catalogue, Ref]:
    """A class under the name it is registered by, or else newly under its own."""
    _expect(kind, issubclass(cls, TABLE[kind].base()), cls)
    targets: tuple[str | type, ...] = (cls, f"{cls.__module__}:{cls.__qualname__}")
    for entry in catalogue.entries(kind):
        if entry.target in targets:
            return catalogue, Ref(entry.name)
    name = snake_case(cls.__name__)
    if (kind, name) in catalogue:
        owner = catalogue.entry(kind, name)
        raise UserError(
            f"{owner.label} is registered by {owner.distribution} {owner.version} already; rename "
            f"the class {cls.__name__}"
        )
    return _with(catalogue, kind, name, cls), Ref(name)


def _held(catalogue: Catalogue, kind: str, instance: Component) -> tuple[Catalogue, Ref]:
    """An instance as it is: whoever builds the component is handed this very object."""
    _expect(kind, isinstance(instance, TABLE[kind].base()), instance)
    name = snake_case(type(instance).__name__)
    members: dict[str, Any] = {name: getattr(instance, name) for name in ("version", "requires", "provides")}
    members["__new__"] = lambda cls, *arguments: instance
    if isinstance(instance, Objective):
        members["default_estimators"] = instance.default_estimators
    if isinstance(instance, Prior):
        # whatever the latent size that it might have been made with
        size = instance.space.count
        members["latent_size"] = lambda *arguments: size
    holder = new_class(
        type(instance).__name__, (TABLE[kind].base(),), exec_body=lambda body: body.update(members)
    )
    return _with(catalogue, kind, name, holder), Ref(name)


def _with(catalogue: Catalogue, kind: str, name: str, target: type) -> Catalogue:
    entry = Entry(kind, name, target, "python", target.__module__, "local")
    return Catalogue([*catalogue.entries(), entry], catalogue.problems)


def _expect(kind: str, holds: bool, given: Any) -> None:
    if not holds:
        shown = " ".join(repr(given).split())[:SHOWN]  # an array's text has many lines
        more = ", or Data of tensors" if kind == "dataset" else ""
        raise UserError(
            f"{kind}: {shown} is no {TABLE[kind].title}; give a name, a class or an instance "
            f"of a {kind}{more}"
        )


def plain(value: Any) -> Any:
    """A number of numpy, as ranges and grids have it, as one of Python; all else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def snake_case(name: str) -> str:
    """The name of a class as components are named.

    >>> snake_case("MyVampPrior"), snake_case("IAF"), snake_case("_Loaded"), snake_case("HTTPData2")
    ('my_vamp_prior', 'iaf', 'loaded', 'http_data2')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().strip("_")
