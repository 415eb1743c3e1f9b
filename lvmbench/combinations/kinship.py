"""Which combinations are alike but for numbers that may vary, so that their runs can train in one pack."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.options import VARIES, varying
from lvmbench.registry.catalogue import Catalogue


def kinship(catalogue: Catalogue, combination: Combination) -> str:
    """What the combinations have in common that differ in numbers alone which may vary within a pack."""
    parts = {
        kind: [
            ref.name,
            _alike(catalogue.options(kind, ref), varying(catalogue.entry(kind, ref.name).load())),
        ]
        for kind, ref in combination.refs.items()
    }
    free = (name for name, field in Budget.model_fields.items() if VARIES in field.metadata)
    known = [parts, combination.latent, _alike(combination.budget.model_dump(), free)]
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _alike(options: Mapping[str, Any], free: Iterable[str]) -> dict[str, Any]:
    """The options, of numbers that may vary only whether they are 0, which may switch something off."""
    return {**options, **{name: bool(options[name]) for name in free}}
