"""What a published board was made with: plugins, versions of components, checksums of data and files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lvmbench.kinds import PARTS
from lvmbench.registry.loader import PluginSelection
from lvmbench.results.store import Store
from lvmbench.results.tables import read_object
from lvmbench.results.weights import sha256_of
from lvmbench.status import Status

PROVENANCE = "provenance.json"
"""The file of a published board that says so."""
Components = Mapping[str, Mapping[str, Any]]
"""Plugin, distribution and versions of components, and checksums of data, by kind and name."""


def components_of(store: Store) -> Components:
    """The components of the runs of a store that are ok."""
    records = store.records(details=True)
    found: dict[str, dict[str, Any]] = {kind: {} for kind in PARTS}
    for row in records[records["status"] == Status.OK].to_dict("records"):
        for kind in PARTS:
            found[kind][row[kind]] = row["provenance"][kind]
    return found


def write_provenance(
    directory: Path, selection: PluginSelection, components: Components, files: Iterable[Path]
) -> None:
    """Write to a published board what it was made with, and the checksums of these files of it."""
    names = [Path(name).name if name.endswith(".py") else name for name in selection.extra]
    content = {
        "plugins": {"loaded": names, "left_out": list(selection.blocked)},
        "components": components,
        "files": {file.name: sha256_of(file) for file in sorted(files)},
    }
    text = json.dumps(content, indent=2, sort_keys=True)
    (directory / PROVENANCE).write_text(text + "\n", encoding="utf-8")


def provenance_in(directory: Path) -> dict[str, Any]:
    """What a published board says that it was made with; nothing where it does not say."""
    return {"plugins": {}, "components": {}, "files": {}, **read_object(directory / PROVENANCE)}


def of_run(components: Components, row: pd.Series[Any]) -> dict[str, Any] | None:
    """What a run was made with, if the components say so of all of its parts."""
    found = {kind: components.get(kind, {}).get(row[kind]) for kind in PARTS}
    return None if None in found.values() else found
