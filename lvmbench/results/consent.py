"""Which local plugins are imported that results name: they are code, so only those that somebody allows."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

from lvmbench.errors import UserError
from lvmbench.registry.loader import PluginSelection
from lvmbench.text import listed, printable

SHOWN = 5
"""So many plugins are named."""


@dataclass(frozen=True)
class Consent:
    """What somebody allows to be imported for the sake of some results.

    Arguments:
        plugins: These local plugins; one is taken in place of that of its name which the results have.
        trust: Whether whatever the results name is imported too.
    """

    plugins: PluginSelection = field(default_factory=PluginSelection)
    trust: bool = False

    def to(self, named: PluginSelection) -> PluginSelection:
        """The plugins that results name, and those given; raises `UserError` for what is not allowed."""
        given = {_name(text): text for text in self.plugins.extra}
        unasked = [text for text in named.extra if _name(text) not in given]
        if unasked and not self.trust:
            raise UserError(
                f"the results name local plugins, which are code and would be imported: "
                f"{listed([_described(text) for text in unasked], SHOWN)}; look at them, and allow each by "
                "--plugin or all by --trust (in Python plugins= or trust=True)"
            )
        extra = [given.pop(_name(text), text) for text in named.extra]
        blocked = dict.fromkeys([*named.blocked, *self.plugins.blocked])
        return PluginSelection((*extra, *given.values()), tuple(blocked))


def _name(plugin: str) -> str:
    """What a plugin is called wherever it lies: the name of its file, or of its module."""
    return Path(plugin).name if plugin.endswith(".py") else plugin


def _described(plugin: str) -> str:
    """A plugin, and where it would be imported from; to find that out imports nothing."""
    if plugin.endswith(".py"):
        return printable(f"'{plugin}'" if Path(plugin).is_file() else f"'{plugin}' (not there)")
    try:
        spec = importlib.util.find_spec(plugin.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    return printable(f"module '{plugin}' ({spec.origin if spec else 'not there'})")
