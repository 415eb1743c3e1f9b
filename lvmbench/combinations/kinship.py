"""Which combinations are alike but for numbers that may vary, so that their runs can train in one pack."""

from __future__ import annotations

import hashlib
from functools import partial

from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.prototypes import Prototypes
from lvmbench.options import VARIES, varying
from lvmbench.registry.names import Ref

FREE = [name for name, field in Budget.model_fields.items() if VARIES in field.metadata]
"""The keys of a budget that may vary."""


def kinship(catalogue: Prototypes, combination: Combination) -> str:
    """What the combinations have in common that differ in numbers alone which may vary within a pack."""
    parts = [
        catalogue.once(("kin", kind, ref), partial(_part, catalogue, kind, ref))
        for kind, ref in combination.refs.items()
    ]
    settings = {**combination.settings, **dict.fromkeys(FREE)}
    return hashlib.sha256(f"{parts} {settings}".encode()).hexdigest()[:16]


def _part(catalogue: Prototypes, kind: str, ref: Ref) -> str:
    """A part: of numbers that may vary only whether they are 0, which may switch something off."""
    options, free = catalogue.options(kind, ref), varying(catalogue.entry(kind, ref.name).load())
    return f"{ref.name} {options | {name: bool(options[name]) for name in free}}"
