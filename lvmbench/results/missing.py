"""What is still to be measured of results, by what was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lvmbench.errors import UserError
from lvmbench.status import Status
from lvmbench.text import shell

if TYPE_CHECKING:
    from lvmbench.results.store import Store

Evaluated = Mapping[str, Mapping[str, tuple[str, str]]]
"""Status and reason of the evaluations of each run, as a store gives them."""
_NEVER = (Status.INTERRUPTED, "")


def asked_evaluators(store: Store) -> list[str]:
    """The evaluators of the suite, as it was last run, and those that were added to its own."""
    return list(dict.fromkeys([*store.noted("evaluators", []), *store.noted("added", [])]))


def is_unmeasured(evaluated: Evaluated, key: str, evaluator: str) -> bool:
    """Whether an evaluator has not come to an end with a run."""
    return evaluated.get(key, {}).get(evaluator, _NEVER)[0] == Status.INTERRUPTED


def missing_evaluations(store: Store) -> Counter[str]:
    """How many trained runs each evaluator is still to measure."""
    from lvmbench.results.tables import asked, stored_records  # pandas is imported where there are tables

    records, evaluated = asked(stored_records(store)), store.evaluated()
    trained = records.loc[records["status"] == Status.OK, "key"]
    spared, added = store.noted("spared", {}), store.noted("added", [])
    return Counter(
        name
        for name in asked_evaluators(store)
        for key in trained
        if is_unmeasured(evaluated, key, name) and (name in added or key not in spared.get(name, ()))
    )


def expect_measured(store: Store, directory: Path) -> None:
    """Raise `UserError` where something that was asked for has not been measured yet."""
    if missing := missing_evaluations(store):
        each = ", ".join(f"{name} ({n})" for name, n in missing.items())
        raise UserError(
            f"'{directory}': not yet measured by {each}; do that with lvmbench retry {shell(directory)}"
        )
