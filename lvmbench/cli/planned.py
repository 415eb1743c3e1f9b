"""What ``plan`` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from lvmbench.cli.display import console, counted, say
from lvmbench.combination import KINDS
from lvmbench.execution.local import cores
from lvmbench.store import Store
from lvmbench.training.estimate import seconds_to_train

if TYPE_CHECKING:
    import torch

    from lvmbench.catalogue import Catalogue
    from lvmbench.plan import Plan, Planned

SHOWN_SEEDS = 10


def show_plan(plan: Plan, catalogue: Catalogue, out: Path, device: torch.device | None) -> None:
    """What would run, what is done, what is refused and why, and, where a device is given, about how long it takes."""
    statuses = Store.at(out).statuses() if (out / "store.sqlite").exists() else {}
    runnable = [planned for planned in plan.planned if not planned.status]
    due = [planned for planned in runnable if any(_is_due(statuses, key) for key in planned.keys.values())]
    costs = {id(p): seconds_to_train(plan, p, catalogue, device) for p in due if device and p.parameters}
    _heading(plan, runnable)
    if runnable:
        console.print(_table(runnable, statuses, costs))
    _refusals(plan)
    _measuring(plan, out, runnable)
    _totals(plan, runnable, statuses)
    if device:
        _estimate([cost for cost in costs.values() if cost is not None])


def show_remarks(plan: Plan) -> None:
    """What to know of the data sets."""
    for dataset, remarks in plan.remarks.items():
        for remark in remarks:
            say(Text(f"note: {dataset}: {remark}", style="yellow"))


def _is_due(statuses: Mapping[str, str], key: str) -> bool:
    return statuses.get(key, "interrupted") == "interrupted"


def _heading(plan: Plan, runnable: Sequence[Planned]) -> None:
    """The suite, and what is the same in every row."""
    suite, same = plan.suite, [f"{kind} {runnable[0].combination[kind]}" for kind in _constant(runnable)]
    seeds = ", ".join(map(str, suite.seeds[:SHOWN_SEEDS])) + (", ..." if suite.seeds[SHOWN_SEEDS:] else "")
    say(f"suite {suite.name} version {suite.version}: {counted(len(suite.seeds), 'seed')} ({seeds})")
    if same:
        say(Text(f"in every row: {'; '.join([*same, f'latent {suite.latent}'])}"))


def _constant(runnable: Sequence[Planned]) -> list[str]:
    return [kind for kind in KINDS if len({str(p.combination[kind]) for p in runnable}) == 1]


def _table(
    runnable: Sequence[Planned], statuses: Mapping[str, str], costs: Mapping[int, float | None]
) -> Table:
    varying = [kind for kind in KINDS if kind not in _constant(runnable)]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in (*varying, "runs"):
        table.add_column(name, overflow="fold")
    for name in ("parameters", "at most"):
        table.add_column(name, justify="right", no_wrap=True)
    for planned in runnable:
        names = [Text(str(planned.combination[kind])) for kind in varying]
        size = "" if planned.parameters is None else f"{planned.parameters:,}"
        cost = _time(costs[id(planned)]) if id(planned) in costs else ""
        table.add_row(*names, _progress(planned, statuses), size, cost)
    return table


def _progress(planned: Planned, statuses: Mapping[str, str]) -> str:
    found = Counter("to do" if _is_due(statuses, key) else statuses[key] for key in planned.keys.values())
    return " · ".join(f"{n} {status}" for status, n in found.items())


def _refusals(plan: Plan) -> None:
    for planned in plan.planned:
        if planned.status:
            say(Text(f"{planned.status}: {planned.combination}: {planned.reason}", style="yellow"))
    reasons = Counter(reason for planned in plan.planned for reason in planned.refused_evaluators.values())
    for reason, n in reasons.items():
        say(Text(f"not measured for {counted(n, 'combination')}: {reason}", style="yellow"))
    show_remarks(plan)


def _totals(plan: Plan, runnable: Sequence[Planned], statuses: Mapping[str, str]) -> None:
    keys = [key for planned in runnable for key in planned.keys.values()]
    stopped = Counter(planned.status for planned in plan.planned if planned.status)
    parts = [counted(len(plan.planned), "combination"), *(f"{n} {status}" for status, n in stopped.items())]
    done = sum(not _is_due(statuses, key) for key in keys)
    say(f"{', '.join(parts)}; {counted(len(keys), 'run')}, {done} done")


def _measuring(plan: Plan, out: Path, runnable: Sequence[Planned]) -> None:
    """How often each evaluator will evaluate the decoder, over all runs that it is still to measure."""
    done = Store.at(out).evaluated() if (out / "store.sqlite").exists() else set()
    costs: dict[str, int | None] = {}
    for planned in runnable:
        for name, each in planned.evaluations.items():
            due = sum((key, name) not in done for key in planned.keys.values())
            so_far = costs.get(name, 0)
            costs[name] = None if each is None or so_far is None else so_far + each * due
    if costs:
        shown = (f"{name} {'?' if count is None else readable(count)}" for name, count in costs.items())
        say(Text(f"model evaluations to measure: {'; '.join(shown)}"))


def readable(count: int) -> str:
    """A count to three figures.

    >>> readable(950), readable(12_345), readable(3_456_789), readable(7_200_000_000)
    ('950', '12,300', '3.46 million', '7.2 billion')
    """
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if count >= size:
            return f"{count / size:.3g} {word}"
    return f"{int(float(f'{count:.3g}')):,}"


def _estimate(costs: Sequence[float]) -> None:
    workers = min(cores(), len(costs))
    if workers:
        total = sum(costs)
        spread = f", {_time(total / workers)} on {workers} workers" if workers > 1 else ""
        say(f"training takes at most {_time(total)}{spread}; measuring comes on top")


def _time(seconds: float | None) -> str:
    """A duration in the unit that suits it; ``?`` where a step failed."""
    if seconds is None:
        return "?"
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
