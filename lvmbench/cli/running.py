"""Commands that plan, run, resume and re-evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lvmbench.cli.options import (
    Blocked,
    Device,
    Directory,
    Jobs,
    Only,
    Plugins,
    Seeds,
    StoreUrl,
    SuiteName,
    Timeout,
    open_store,
    selection,
    warn,
    with_seeds,
)
from lvmbench.errors import LvmbenchError, UserError, nearest

if TYPE_CHECKING:
    from lvmbench.execution.runner import RunOptions
    from lvmbench.registry.catalogue import Catalogue
    from lvmbench.registry.names import Ref
    from lvmbench.results.store import Store
    from lvmbench.suites.plan import Plan

RETRIED = "failed,diverged,oom,timeout,killed,unavailable"
RETRIABLE = [*RETRIED.split(","), "refused", "interrupted"]


def run(
    suite: SuiteName,
    out: Annotated[
        Path | None, typer.Option("--out", help="Results directory (default: lvmbench-results/SUITE).")
    ] = None,
    store: StoreUrl = None,
    seeds: Seeds = None,
    only: Only = [],  # noqa: B006
    device: Device = "auto",
    jobs: Jobs = None,
    timeout: Timeout = None,
    plugin: Plugins = [],  # noqa: B006
    no_plugin: Blocked = [],  # noqa: B006
) -> None:
    """Train and measure every combination of a suite, and show the leaderboard.

    Finished runs are not repeated and interrupted ones are finished: the same command resumes.

    Example: lvmbench run quick --out results/quick
    """
    from lvmbench.registry.loader import load_catalogue
    from lvmbench.suites.suite import load_suite

    chosen = selection(plugin, no_plugin)
    catalogue = load_catalogue(chosen)
    loaded = with_seeds(load_suite(suite, catalogue), seeds)
    out = out or Path("lvmbench-results") / loaded.name
    from lvmbench.cli.planned import show_remarks
    from lvmbench.execution.runner import RunOptions, prepare
    from lvmbench.results.store import Store
    from lvmbench.suites.plan import make_plan
    from lvmbench.training import pick_device

    pick_device(device)
    plan = make_plan(loaded, catalogue, only)
    show_remarks(plan)
    prepare(out)
    warn(catalogue)
    with Store.at(out, store) as opened:
        _go(plan, out, opened, RunOptions(device, jobs, timeout, chosen))


def plan(
    suite: SuiteName,
    out: Annotated[
        Path | None, typer.Option("--out", help="Results directory, to say what is done there.")
    ] = None,
    store: StoreUrl = None,
    estimate: Annotated[bool, typer.Option(help="Time a few steps and draws of each combination.")] = True,
    seeds: Seeds = None,
    only: Only = [],  # noqa: B006
    device: Device = "auto",
    plugin: Plugins = [],  # noqa: B006
    no_plugin: Blocked = [],  # noqa: B006
) -> None:
    """Show what would run, what is done, what is refused and why, and about how long it takes.

    Example: lvmbench plan quick
    """
    from lvmbench.registry.loader import load_catalogue
    from lvmbench.suites.suite import load_suite

    catalogue = load_catalogue(selection(plugin, no_plugin))
    loaded = with_seeds(load_suite(suite, catalogue), seeds)
    from lvmbench.cli.planned import show_plan
    from lvmbench.suites.plan import make_plan
    from lvmbench.training import pick_device

    where = pick_device(device)
    made = make_plan(loaded, catalogue, only)
    warn(catalogue)
    directory = out or Path("lvmbench-results") / loaded.name
    show_plan(made, catalogue, directory, store, where if estimate else None)


def status(
    directory: Directory,
    store: StoreUrl = None,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show the stored tracebacks.")] = False,
) -> None:
    """Say how far a results directory has got, and what needs attention.

    Example: lvmbench status lvmbench-results/quick --traceback
    """
    from lvmbench.api.progress import show_status

    with open_store(directory, store) as opened:
        show_status(directory, opened, tracebacks=traceback)


def retry(
    directory: Directory,
    status: Annotated[
        str, typer.Option("--status", help="Which endings to redo, separated by commas.")
    ] = RETRIED,
    store: StoreUrl = None,
    device: Device = "auto",
    jobs: Jobs = None,
    timeout: Timeout = None,
) -> None:
    """Redo the runs and evaluations that ended badly; nothing else is touched.

    Example: lvmbench retry lvmbench-results/quick --status oom,timeout
    """
    wanted = [word.strip() for word in status.split(",")]
    for word in wanted:
        if word not in RETRIABLE:
            raise UserError(f"--status: no run can be retried for '{word}'{nearest(word, RETRIABLE)}")
    with open_store(directory, store) as opened:
        plan, options = _reload(directory, opened, device, jobs, timeout)
        names = plan.names
        opened.reopen(
            key for name, (key, found) in _runs(opened).items() if found in wanted and name in names
        )
        opened.reopen_evaluations(wanted)
        _go(plan, directory, opened, options)


def evaluate(
    directory: Directory,
    evaluator: Annotated[
        list[str], typer.Option("--evaluator", metavar="NAME", help="An evaluator; may be repeated.")
    ],
    store: StoreUrl = None,
    device: Device = "auto",
    jobs: Jobs = None,
    timeout: Timeout = None,
) -> None:
    """Apply more evaluators to the stored weights; nothing is trained.

    Example: lvmbench evaluate lvmbench-results/quick --evaluator "tightness[samples=5000]"
    """
    with open_store(directory, store) as opened:
        plan, options = _reload(directory, opened, device, jobs, timeout, evaluator)
        _go(plan, directory, opened, options, training=False)


def _reload(
    directory: Path,
    opened: Store,
    device: str,
    jobs: int | None,
    timeout: float | None,
    evaluators: Sequence[str] = (),
) -> tuple[Plan, RunOptions]:
    """The plan and the options of results that are there, with the plugins and seeds they were made with."""
    from dataclasses import replace

    from lvmbench.execution.runner import RunOptions
    from lvmbench.registry.loader import load_catalogue
    from lvmbench.results.folder import plugins_of
    from lvmbench.suites.plan import make_plan
    from lvmbench.suites.suite import load_suite
    from lvmbench.training import pick_device

    pick_device(device)
    chosen = plugins_of(opened)
    catalogue = load_catalogue(chosen)
    suite = load_suite(str(directory / "suite.yaml"), catalogue)
    runs = _runs(opened)
    suite = replace(suite, seeds=tuple(sorted({seed for *_, seed in runs})) or suite.seeds)
    wanted = tuple(_evaluator(name, catalogue) for name in evaluators)
    plan = make_plan(suite, catalogue).restricted(runs)
    warn(catalogue)
    plan = replace(plan, evaluators=wanted or plan.evaluators)
    return plan, RunOptions(device, jobs, timeout, chosen)


def _evaluator(name: str, catalogue: Catalogue) -> Ref:
    from lvmbench.registry.names import Ref

    try:
        return catalogue.canonical("evaluator", Ref.parse(name))
    except LvmbenchError as error:
        raise UserError(f"--evaluator: {error}") from None


def _runs(store: Store) -> dict[tuple[Any, ...], tuple[str, str]]:
    """Key and status of each run in a store, by its name."""
    from lvmbench.kinds import PARTS

    records = store.records()
    names = records[[*PARTS, "latent", "seed"]].itertuples(index=False, name=None)
    return dict(zip(names, zip(records["key"], records["status"], strict=True), strict=True))


def _go(plan: Plan, out: Path, store: Store, options: RunOptions, *, training: bool = True) -> None:
    """Run a plan with a live display; exit code 1 where anything failed, 130 where it was interrupted."""
    from lvmbench.api.progress import Live, console, say, show_results
    from lvmbench.execution.runner import run

    try:
        with Live(console) as live:
            summary = run(plan, out, store, options, live, training=training)
    except KeyboardInterrupt:
        say(f"interrupted; what is finished is kept: the same command goes on (lvmbench status {out})")
        raise typer.Exit(130) from None
    show_results(out, store, summary)
    if all(planned.status == "refused" for planned in plan.planned):
        reason = plan.planned[0].reason
        raise UserError(f"{plan.suite.path}: nothing can run, every combination is refused: {reason}")
    if summary.failed:
        raise typer.Exit(1)
