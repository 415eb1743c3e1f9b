"""What ``plan`` shows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table
from rich.text import Text

from lvmbench.api.progress import console, counted, say
from lvmbench.execution.executor import cores
from lvmbench.execution.packing import packed
from lvmbench.execution.planning import estimate_in
from lvmbench.kinds import PARTS
from lvmbench.results.missing import Evaluated, is_unmeasured
from lvmbench.text import wrapped

if TYPE_CHECKING:
    from lvmbench.api.prepared import Prepared
    from lvmbench.suites.effort import Effort, Estimate
    from lvmbench.suites.planned import Plan, Planned

MANY, DRAWN = 50, 10
"""Where more combinations can run than ``MANY``, so many of them are shown and timed."""
FEW = 10
"""So many combinations that cannot run are named, and of more so many reasons."""
SHOWN_SEEDS = 10
GAP = 2
"""Columns are so many characters apart."""


def show_plan(prepared: Prepared, *, timed: bool, whole: bool = False) -> None:
    """What would run, what is done, what is refused and why, and, if that is to be timed,
    about how long it takes; of a large plan some combinations only, unless the ``whole`` is asked for.
    """
    plan = prepared.plan
    statuses, evaluated = _known(prepared.directory, prepared.store)
    runnable = [planned for planned in plan.planned if not planned.status]
    shown = runnable if whole or len(runnable) <= MANY else _drawn(runnable)
    due = {id(planned) for planned in runnable if _training_due(statuses, planned)}
    tried = [p for p in shown if p.parameters and (id(p) in due or _measuring_due(p, evaluated))]
    costs = _costs(prepared, tried) if timed else {}
    training = {planned: cost.training for planned, cost in costs.items() if planned in due}
    _heading(plan, runnable)
    if runnable:
        packs = _packs(runnable, statuses, prepared.executor.resources.workers)
        console.print(_table(shown, _varying(runnable), statuses, training, packs))
    if len(shown) < len(runnable):
        say(f"{len(shown)} of {len(runnable):,} that can run, drawn at random; --all shows and times each")
    _refusals(plan, whole=whole)
    measuring = _measuring(plan, runnable, evaluated, costs)
    _totals(plan, runnable, statuses, evaluated)
    if timed:
        part = sum(id(planned) in due for planned in shown) / max(1, len(due))
        seconds = sum(filter(None, training.values())) / (part or 1)
        _estimate(seconds, measuring, whole=len(shown) == len(runnable))


def _drawn(runnable: Sequence[Planned]) -> list[Planned]:
    """Some combinations that stand for all: not every n-th, which may be alike, and each time the same."""
    return [runnable[place] for place in sorted(random.Random(0).sample(range(len(runnable)), DRAWN))]


def _costs(prepared: Prepared, tried: Sequence[Planned]) -> dict[int, Estimate]:
    """What training and measuring take, timed where jobs are done."""
    options = prepared.options
    found = estimate_in(prepared.executor, options.selection, tried, options.device)
    return dict(zip(map(id, tried), found, strict=True))


def _known(out: Path, url: str | None) -> tuple[Mapping[str, str], Evaluated]:
    """What a store says of runs and evaluations, if there is one."""
    if not url and not (out / "store.sqlite").exists():
        return {}, {}
    from lvmbench.results.store import Store  # pandas is imported where there are results

    with Store.at(out, url) as store:
        return store.statuses(), store.evaluated()


def _training_due(statuses: Mapping[str, str], planned: Planned) -> bool:
    return any(_is_due(statuses, key) for key in planned.keys.values())


def _measuring_due(planned: Planned, evaluated: Evaluated) -> Counter[str]:
    """How many runs of a combination each evaluator is still to measure."""
    names = (
        name
        for key in planned.keys.values()
        for name in planned.efforts
        if is_unmeasured(evaluated, key, name)
    )
    return Counter(names)


def show_remarks(plan: Plan) -> None:
    """What to know of the data sets."""
    for dataset, remarks in plan.remarks.items():
        for remark in remarks:
            say(Text(f"note: {dataset}: {remark}", style="yellow"))


def _is_due(statuses: Mapping[str, str], key: str) -> bool:
    return statuses.get(key, "interrupted") == "interrupted"


def _heading(plan: Plan, runnable: Sequence[Planned]) -> None:
    """The suite, and what is the same in every row."""
    suite, varying = plan.suite, _varying(runnable)
    same = [f"{kind} {runnable[0].combination[kind]}" for kind in PARTS if runnable and kind not in varying]
    seeds = ", ".join(map(str, suite.seeds[:SHOWN_SEEDS])) + (", ..." if suite.seeds[SHOWN_SEEDS:] else "")
    say(f"suite {suite.name} version {suite.version}: {counted(len(suite.seeds), 'seed')} ({seeds})")
    shown = runnable[0].combination.shown if runnable else ()
    if same:
        latent = [] if "latent" in shown else [f"latent {runnable[0].combination.latent}"]
        say(Text(f"in every row: {'; '.join([*same, *latent])}"))


def _varying(runnable: Sequence[Planned]) -> list[str]:
    """The parts that are not the same in every combination."""
    return [kind for kind in PARTS if len({p.combination[kind] for p in runnable}) > 1]


def _packs(runnable: Sequence[Planned], statuses: Mapping[str, str], workers: int) -> dict[int, int]:
    """The number of the pack that each combination trains in, where any trains beside others."""
    due = [(p, sum(_is_due(statuses, key) for key in p.keys.values())) for p in runnable]
    packs = packed([one for one in due if one[1]], workers)
    if all(len(pack) == 1 for pack in packs):
        return {}
    return {id(planned): number for number, pack in enumerate(packs, start=1) for planned in pack}


def _table(
    shown: Sequence[Planned],
    varying: Sequence[str],
    statuses: Mapping[str, str],
    costs: Mapping[int, float | None],
    packs: Mapping[int, int],
) -> Table:
    names = {kind: [kind, *(str(planned.combination[kind]) for planned in shown)] for kind in varying}
    settings = {n: [n, *(str(p.combination.settings[n]) for p in shown)] for n in shown[0].combination.shown}
    names |= settings
    columns = {
        "runs": [_progress(planned, statuses) for planned in shown],
        **({"pack": [str(packs.get(id(p), "")) for p in shown]} if packs else {}),
        "parameters": ["" if p.parameters is None else f"{p.parameters:,}" for p in shown],
        **({"at most": [_time(costs[id(p)]) if id(p) in costs else "" for p in shown]} if costs else {}),
    }
    taken = sum(max(map(len, [name, *cells])) + GAP for name, cells in columns.items())
    room = _room([*names.values()], console.width - taken)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold", justify="right" if name in settings else "left")
    for name in columns:
        table.add_column(name, justify="left" if name == "runs" else "right", no_wrap=True)
    broken = [[Text(wrapped(name, room)) for name in cells[1:]] for cells in names.values()]
    for row in zip(*broken, *columns.values(), strict=True):
        table.add_row(*row)
    return table


def _room(columns: Sequence[Sequence[str]], width: int) -> int:
    """The longest piece of a name at which columns of names,
    broken where their options are, fit into a width.
    """

    def taken(room: int) -> int:
        lines = ([line for name in names for line in wrapped(name, room).split("\n")] for names in columns)
        return sum(max(map(len, pieces)) + GAP for pieces in lines)

    longest = max((len(name) for names in columns for name in names), default=1)
    return next((room for room in range(longest, 0, -1) if taken(room) <= width), 1)


def _progress(planned: Planned, statuses: Mapping[str, str]) -> str:
    counts = Counter("to do" if _is_due(statuses, key) else statuses[key] for key in planned.keys.values())
    return " · ".join(f"{n} {status}" for status, n in counts.items())


def _refusals(plan: Plan, *, whole: bool) -> None:
    """What cannot run or is not measured, and why: each combination, or how many for the same reason."""
    stopped = [planned for planned in plan.planned if planned.status]
    if whole or len(stopped) <= FEW:
        for planned in stopped:
            _warn(f"{planned.status}: {planned.combination}: {planned.reason}")
    else:
        _counted(Counter((str(planned.status), planned.reason) for planned in stopped), FEW)
    lacking = (reason for planned in plan.planned for reason in planned.refused_evaluators.values())
    _counted(Counter(("not measured", reason) for reason in lacking), None if whole else FEW)
    show_remarks(plan)


def _counted(reasons: Counter[tuple[str, str]], most: int | None) -> None:
    """How many combinations there are for each ending and reason, the most frequent first."""
    for (ending, reason), n in reasons.most_common(most):
        _warn(f"{ending}: {counted(n, 'combination')}: {reason}")
    if rest := reasons.most_common()[len(reasons) if most is None else most :]:
        others = counted(len(rest), "other reason")
        _warn(f"and {counted(sum(n for _, n in rest), 'combination')} for {others}; --all has them")


def _warn(text: str) -> None:
    say(Text(text, style="yellow"))


def _totals(
    plan: Plan, runnable: Sequence[Planned], statuses: Mapping[str, str], evaluated: Evaluated
) -> None:
    keys = [key for planned in runnable for key in planned.keys.values()]
    stopped = Counter(planned.status for planned in plan.planned if planned.status)
    parts = [counted(len(plan.planned), "combination"), *(f"{n:,} {status}" for status, n in stopped.items())]
    done = sum(not _is_due(statuses, key) for key in keys)
    trained = [replace(p, keys=_trained(p, statuses)) for p in runnable]
    unmeasured = sum(_measuring_due(planned, evaluated).total() for planned in trained)
    left = f", {counted(unmeasured, 'evaluation')} of these missing" if unmeasured else ""
    say(f"{', '.join(parts)}; {counted(len(keys), 'run')}, {done:,} done{left}")


def _trained(planned: Planned, statuses: Mapping[str, str]) -> dict[int, str]:
    return {seed: key for seed, key in planned.keys.items() if statuses.get(key) == "ok"}


def _measuring(
    plan: Plan, runnable: Sequence[Planned], evaluated: Evaluated, costs: Mapping[int, Estimate]
) -> float:
    """Say what each evaluator takes for all runs that it is still to measure.

    The seconds for all evaluators.
    """
    totals: dict[str, _Total] = {}
    for planned in runnable:
        due, cost = _measuring_due(planned, evaluated), costs.get(id(planned))
        asked = plan.tested.get(str(planned.combination["dataset"]), 0)
        for name, effort in planned.efforts.items():
            seconds = cost.rates.seconds(effort, asked) if cost and cost.rates and effort else None
            totals[name] = totals.get(name, _Total()).plus(due[name], effort, seconds)
            # where it takes long to find posteriors, the evaluators of a run share them
            asked = 0 if due[name] else asked
    if totals:
        shown = "; ".join(f"{name} {total.shown(bool(costs))}" for name, total in totals.items())
        say(Text(f"model evaluations to measure: {shown}"))
    return sum(total.all_seconds for total in totals.values())


class _Total(NamedTuple):
    """What an evaluator takes for all runs.

    ``evaluations`` is ``None`` where that is not known of one of them; ``seconds`` are of those ``timed``.
    """

    evaluations: int | None = 0
    densities: int = 0
    runs: int = 0
    timed: int = 0
    seconds: float = 0.0

    @property
    def all_seconds(self) -> float:
        """About what all runs take, by those that were timed."""
        return self.seconds * self.runs / self.timed if self.timed else 0.0

    def plus(self, runs: int, effort: Effort | None, seconds: float | None) -> _Total:
        if effort is None or self.evaluations is None:
            return self._replace(evaluations=None)
        return _Total(
            self.evaluations + runs * effort.evaluations,
            self.densities + runs * effort.densities,
            self.runs + runs,
            self.timed + (0 if seconds is None else runs),
            self.seconds + runs * (seconds or 0.0),
        )

    def shown(self, timed: bool) -> str:
        if self.evaluations is None:
            return "?"
        densities = f" + {readable(self.densities)} densities" if self.densities else ""
        about = f" ({_about(self.all_seconds)})" if timed else ""
        return f"{readable(self.evaluations)}{densities}{about}"


def readable(count: int) -> str:
    """A count to three figures.

    >>> readable(950), readable(12_345), readable(3_456_789), readable(7_200_000_000)
    ('950', '12,300', '3.46 million', '7.2 billion')
    """
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if count >= size:
            return f"{count / size:.3g} {word}"
    return f"{int(float(f'{count:.3g}')):,}"


def _estimate(training: float, measuring: float, *, whole: bool) -> None:
    workers, about = cores(), "" if whole else "about "
    total = f", {_time((training + measuring) / workers)} in all on {workers} workers" if workers > 1 else ""
    if training or measuring:
        say(f"training takes at most {about}{_time(training)}; measuring {_about(measuring)}{total}")


def _about(seconds: float) -> str:
    return f"about {_time(seconds)}" if seconds >= 1 else _time(seconds)


def _time(seconds: float | None) -> str:
    """A duration in the unit that suits it; ``?`` where a step failed."""
    if seconds is None:
        return "?"
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"
    if seconds < 48 * 3600:
        return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:,.0f} days"
