"""What a plugin may implement: one hook, called once, cheap, without importing torch."""

from __future__ import annotations

from typing import Protocol

import pluggy

hookspec = pluggy.HookspecMarker("lvmbench")
hookimpl = pluggy.HookimplMarker("lvmbench")
API_VERSION = "1.0"
"""The version of what plugins are written against:
this hook, the contracts of each kind and the public names of lvmbench.

A module with the hook may declare which ones it works with, ``LVMBENCH_API = ">=1,<2"``; outside of them it
is not loaded.
"""


class Register(Protocol):
    """What `lvmbench_register` is handed: one method per kind.

    ``target`` is a class, or better a lazy ``"package.module:Class"``; for a suite it is
    ``"package:folder/file.yaml"``.
    """

    def dataset(self, name: str, target: str | type) -> None: ...
    def prior(self, name: str, target: str | type) -> None: ...
    def posterior(self, name: str, target: str | type) -> None: ...
    def decoder(self, name: str, target: str | type) -> None: ...
    def objective(self, name: str, target: str | type) -> None: ...
    def estimator(self, name: str, target: str | type) -> None: ...
    def evaluator(self, name: str, target: str | type) -> None: ...
    def suite(self, name: str, target: str) -> None: ...
    def tracker(self, name: str, target: str | type) -> None: ...


@hookspec
def lvmbench_register(register: Register) -> None:
    """Register components: ``register.prior("vamp", "my_package.vamp:VampPrior")``."""
