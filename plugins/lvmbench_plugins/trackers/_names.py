"""What runs and figures are called where not every name is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lvmbench import TrackedRun

PARTS = ("dataset", "prior", "posterior", "decoder", "objective", "estimator")
LONGEST = 150
"""So many characters of a run's parts are in its name; the names of files have a limit."""


def run_name(run: TrackedRun) -> str:
    """The parts of a run, its seed, and the beginning of its key, by which it is told from others.

    >>> run_name(TrackedRun("0123456789abcdef", 3, {"dataset": "table[path=/a/b.csv]", "prior": "vamp"}))
    'table[path=_a_b.csv] vamp seed 3 01234567'
    """
    parts = " ".join(str(run.columns[part]) for part in PARTS if part in run.columns)
    plain = re.sub(r"[^\w.,=\[\] -]", "_", parts)[:LONGEST]
    return f"{plain} seed {run.seed} {run.key[:8]}"


def figure_name(row: Mapping[str, Any]) -> str:
    """What a measurement is called: its split, metric, variant and method.

    >>> figure_name({"split": "test", "metric": "gap", "variant": "", "method": "exact", "value": 1.0})
    'test/gap/exact'
    """
    name = "/".join(row[part] for part in ("split", "metric", "variant", "method") if row[part])
    return re.sub(r"[^\w./ -]", "_", name)
