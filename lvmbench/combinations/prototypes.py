"""Components for the sake of what they declare: each is built once, and kept without its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from torch import nn

from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import Ref
from lvmbench.registry.sandbox import contained, preserved
from lvmbench.registry.watch import entered


class Prototypes(Catalogue):
    """A catalogue that builds a component once for each choice of options and arguments.

    What it hands out has no weights and is shared: it is for asking what a component declares. A suite has
    far fewer choices of components than combinations of them.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(catalogue.entries(), catalogue.problems)
        self._found: dict[Hashable, Any] = {}

    def options(self, kind: str, ref: Ref) -> dict[str, Any]:
        """The options of a reference, checked and completed; raises `OptionError`."""
        options: dict[str, Any] = self.once(("options", kind, ref), partial(super().options, kind, ref))
        return options

    def canonical(self, kind: str, ref: Ref) -> Ref:
        """The reference with its options checked and the ones at their defaults left out."""
        found: Ref = self.once(("canonical", kind, ref), partial(super().canonical, kind, ref))
        return found

    def bases(self, kind: str, ref: Ref) -> dict[str, Ref]:
        """The components among the options of a reference, by option."""
        bases: dict[str, Ref] = self.once(("bases", kind, ref), partial(super().bases, kind, ref))
        return bases

    def version(self, kind: str, ref: Ref) -> Any:
        """The version of a component; of one with others among its options, a list of its own and theirs."""
        return self.once(("version", kind, ref), partial(super().version, kind, ref))

    def origin(self, kind: str, ref: Ref) -> dict[str, Any]:
        """Plugin, distribution and versions of a component, and of those among its options."""
        origin: dict[str, Any] = self.once(("origin", kind, ref), partial(super().origin, kind, ref))
        return origin

    def build(self, kind: str, ref: Ref | str, *args: Any) -> Any:
        """A component, or the error with which it could not be built the first time."""
        return self.once((kind, str(ref), *args), partial(self._prototype, kind, ref, *args))

    def _prototype(self, kind: str, ref: Ref | str, *args: Any) -> Any:
        with preserved([]), entered(f"{kind} '{ref}'"):
            component = super().build(kind, ref, *args)
            # a copy, as a component that was given as an instance is the user's own
            return copy.deepcopy(component).to("meta") if isinstance(component, nn.Module) else component

    def once(self, key: Hashable, find: Callable[[], Any]) -> Any:
        """What was found under a key the first time, or the error that came instead."""
        if key not in self._found:
            try:
                with contained():
                    self._found[key] = find()
            except Exception as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, Exception):
            raise found.with_traceback(None)
        return found
