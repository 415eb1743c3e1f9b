"""What ``plan`` shows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from lvmbench.cli.display import console
from lvmbench.combination import KINDS
from lvmbench.execution.local import cores
from lvmbench.store import Store
from lvmbench.training import pick_device
from lvmbench.training.estimate import seconds_to_train

if TYPE_CHECKING:
    from lvmbench.catalogue import Catalogue
    from lvmbench.plan import Plan, Planned


def show_plan(plan: Plan, catalogue: Catalogue, out: Path, device: str, estimate: bool) -> None:
    """One row per combination: what would run, what is done, what is refused and why, and the estimated cost."""
    done = Store.at(out).statuses() if (out / "store.sqlite").exists() else {}
    where = pick_device(device)
    table = Table(*KINDS, "runs", "parameters", "at most", box=None, header_style="bold", pad_edge=False)
    total = 0.0
    for planned in plan.planned:
        due = sum(done.get(key, "interrupted") == "interrupted" for key in planned.keys.values())
        cost = None
        if estimate and not planned.status and due:
            cost = seconds_to_train(plan, planned, catalogue, where)
            total += cost or 0.0
        table.add_row(
            *_row(planned, done), f"{planned.parameters or '':,}" if planned.parameters else "", _time(cost)
        )
    console.print(
        f"suite {plan.suite.name} version {plan.suite.version}: seeds {', '.join(map(str, plan.suite.seeds))}"
    )
    console.print(table)
    _refusals(plan)
    _totals(plan, done, total, estimate)


def _row(planned: Planned, done: dict[str, str]) -> list[Text]:
    names = [Text(str(planned.combination[kind])) for kind in KINDS]
    if planned.status:
        return [*names, Text(planned.status, style="yellow")]
    counts = Counter(done.get(key, "to do").replace("interrupted", "to do") for key in planned.keys.values())
    return [*names, Text(" · ".join(f"{n} {status}" for status, n in counts.items()))]


def _refusals(plan: Plan) -> None:
    for planned in plan.planned:
        if planned.status:
            console.print(Text(f"{planned.status}: {planned.combination}: {planned.reason}", style="yellow"))
    reasons = Counter(reason for planned in plan.planned for reason in planned.refused_evaluators.values())
    for reason, n in reasons.items():
        console.print(Text(f"refused for {n} combinations: {reason}", style="yellow"))


def _totals(plan: Plan, done: dict[str, str], seconds: float, estimate: bool) -> None:
    runnable = [key for planned in plan.planned if not planned.status for key in planned.keys.values()]
    finished = sum(done.get(key, "interrupted") != "interrupted" for key in runnable)
    refused = sum(bool(planned.status) for planned in plan.planned)
    line = f"{len(plan.planned)} combinations, {refused} refused; {len(runnable)} runs, {finished} done"
    if estimate:
        workers = cores()
        line += (
            f"; training at most {_time(seconds)} of work, {_time(seconds / workers)} on {workers} workers"
        )
    console.print(line)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
