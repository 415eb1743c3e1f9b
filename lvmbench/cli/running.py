"""Commands that plan, run, resume and re-evaluate."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvmbench.cli.options import (
    Address,
    Allowed,
    Apart,
    Blocked,
    Checkpoint,
    Device,
    Directory,
    ExecutorName,
    Jobs,
    JobsPerGpu,
    Keep,
    MaxFailures,
    Memory,
    Only,
    Plugins,
    Seeds,
    StoreUrl,
    SuiteName,
    Timeout,
    TrackerNames,
    Trust,
    open_store,
    require_store,
    warn,
)
from lvmbench.errors import UserError, nearest
from lvmbench.text import shell

if TYPE_CHECKING:
    from lvmbench.api.prepared import Prepared
    from lvmbench.api.results import Results
    from lvmbench.execution.executor import Executor
    from lvmbench.results.board import Board

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
    jobs_per_gpu: JobsPerGpu = None,
    executor: ExecutorName = "local",
    address: Address = None,
    timeout: Timeout = None,
    memory: Memory = None,
    max_failures: MaxFailures = None,
    tracker: TrackerNames = [],  # noqa: B006
    baselines: Annotated[
        bool, typer.Option(help="Fit baselines to the data, which rows are held against.")
    ] = True,
    apart: Apart = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show where the time goes, also in DIR/profile.csv.")
    ] = False,
    checkpoint: Checkpoint = None,
    keep: Keep = False,
    plugin: Plugins = [],  # noqa: B006
    no_plugin: Blocked = [],  # noqa: B006
) -> None:
    """Train and measure every combination of a suite, and show the leaderboard.

    Finished runs are not repeated and interrupted ones are finished: the same command resumes.

    Example: lvmbench run quick --out results/quick
    """
    from lvmbench.api.prepared import Prepared
    from lvmbench.execution.options import RunOptions
    from lvmbench.registry.loader import PluginSelection

    selection = PluginSelection.of(plugin, no_plugin)
    options = RunOptions(
        device=device,
        jobs=jobs,
        timeout=timeout,
        selection=selection,
        memory=memory,
        max_failures=max_failures,
        trackers=(*tracker,),
        jobs_per_gpu=jobs_per_gpu,
        executor=executor,
        address=address,
        baselines=baselines,
        apart=apart,
        profile=profile,
        checkpoint=checkpoint,
        keep=keep,
    )
    with Prepared.of(suite, out, options, store=store, seeds=seeds, only=only) as prepared:
        from lvmbench.cli.planned import show_remarks

        show_remarks(prepared.plan)
        _go(prepared)


def plan(
    suite: SuiteName,
    out: Annotated[
        Path | None, typer.Option("--out", help="Results directory, to say what is done there.")
    ] = None,
    store: StoreUrl = None,
    whole: Annotated[
        bool, typer.Option("--all", help="Show and time each combination, however many there are.")
    ] = False,
    estimate: Annotated[bool, typer.Option(help="Time a few steps and draws of what is shown.")] = True,
    seeds: Seeds = None,
    only: Only = [],  # noqa: B006
    device: Device = "auto",
    plugin: Plugins = [],  # noqa: B006
    no_plugin: Blocked = [],  # noqa: B006
) -> None:
    """Show what would run, what is done, what is refused and why, and about how long it takes.

    Example: lvmbench plan quick
    """
    from lvmbench.api.prepared import Prepared
    from lvmbench.execution.options import RunOptions
    from lvmbench.registry.loader import PluginSelection

    options = RunOptions(device, selection=PluginSelection.of(plugin, no_plugin))
    with Prepared.of(suite, out, options, store=store, seeds=seeds, only=only, runs=False) as prepared:
        from lvmbench.cli.planned import show_plan

        warn(prepared.answer.problems)
        show_plan(prepared, timed=estimate, whole=whole)


def status(
    directory: Directory,
    store: StoreUrl = None,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show the stored tracebacks.")] = False,
) -> None:
    """Say how far a results directory has got, and what needs attention.

    Example: lvmbench status lvmbench-results/quick --traceback
    """
    from lvmbench.cli.shown import show_status

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
    jobs_per_gpu: JobsPerGpu = None,
    executor: ExecutorName = "local",
    address: Address = None,
    timeout: Timeout = None,
    memory: Memory = None,
    max_failures: MaxFailures = None,
    tracker: TrackerNames = [],  # noqa: B006
    checkpoint: Checkpoint = None,
    keep: Keep = False,
    plugin: Allowed = [],  # noqa: B006
    trust: Trust = False,
) -> None:
    """Redo the runs and evaluations that ended badly; nothing else is touched.

    Example: lvmbench retry lvmbench-results/quick --status oom,timeout
    """
    wanted = [word.strip() for word in status.split(",")]
    for word in wanted:
        if word not in RETRIABLE:
            raise UserError(f"--status: no run can be retried for '{word}'{nearest(word, RETRIABLE)}")
    from lvmbench.api.prepared import Prepared
    from lvmbench.execution.options import RunOptions
    from lvmbench.registry.loader import PluginSelection
    from lvmbench.results.baselines import reopen_baselines

    options = RunOptions(
        device=device,
        jobs=jobs,
        timeout=timeout,
        selection=PluginSelection.of(plugin),
        memory=memory,
        max_failures=max_failures,
        trackers=(*tracker,),
        jobs_per_gpu=jobs_per_gpu,
        executor=executor,
        address=address,
        checkpoint=checkpoint,
        keep=keep,
    )
    with (
        open_store(directory, store) as opened,
        Prepared.again(directory, store, options, trust=trust) as prepared,
    ):
        names = prepared.plan.names
        runs = {name: run for name, run in opened.runs().items() if name in names}
        opened.reopen(run.key for run in runs.values() if run.status in wanted)
        opened.reopen_evaluations(wanted)
        reopen_baselines(directory, wanted)
        _go(prepared)


def evaluate(
    directory: Directory,
    evaluator: Annotated[
        list[str], typer.Option("--evaluator", metavar="NAME", help="An evaluator; may be repeated.")
    ],
    store: StoreUrl = None,
    device: Device = "auto",
    jobs: Jobs = None,
    jobs_per_gpu: JobsPerGpu = None,
    executor: ExecutorName = "local",
    address: Address = None,
    timeout: Timeout = None,
    memory: Memory = None,
    max_failures: MaxFailures = None,
    tracker: TrackerNames = [],  # noqa: B006
    plugin: Allowed = [],  # noqa: B006
    trust: Trust = False,
) -> None:
    """Apply more evaluators to the stored weights; nothing is trained.

    Example: lvmbench evaluate lvmbench-results/quick --evaluator "tightness[samples=5000]"
    """
    from lvmbench.api.prepared import Prepared
    from lvmbench.execution.options import RunOptions
    from lvmbench.registry.loader import PluginSelection

    require_store(directory, store)
    options = RunOptions(
        device=device,
        jobs=jobs,
        timeout=timeout,
        selection=PluginSelection.of(plugin),
        memory=memory,
        max_failures=max_failures,
        trackers=(*tracker,),
        jobs_per_gpu=jobs_per_gpu,
        executor=executor,
        address=address,
    )
    with Prepared.again(directory, store, options, trust=trust, evaluators=evaluator) as prepared:
        _go(prepared, training=False)


def _go(prepared: Prepared, *, training: bool = True) -> None:
    """Run a plan with a live display; exit code 1 where anything failed.

    Where it was interrupted, the exit code is the one that shells have for that signal.
    """
    from lvmbench.api.progress import Live, console, say
    from lvmbench.api.results import Results
    from lvmbench.cli.shown import show_profile, show_results

    plan, out = prepared.plan, prepared.directory
    warn(prepared.answer.problems)
    try:
        with Live(console) as live:
            summary = prepared.run(live, training=training)
    except KeyboardInterrupt as error:
        say(f"interrupted; what is finished is kept: the same command goes on (lvmbench status {shell(out)})")
        raise typer.Exit(128 + getattr(error, "signal", signal.SIGINT)) from None
    results = Results(out, prepared.store, prepared.consent)
    board = results.board()
    _renew_report(results, board, prepared.executor)
    show_results(results, board, summary)
    if prepared.options.profile:
        show_profile(out)
    if all(planned.status == "refused" for planned in plan.planned):
        reason = plan.planned[0].reason
        raise UserError(f"{plan.suite.path}: nothing can run, every combination is refused: {reason}")
    if summary.failed or summary.stopped:
        raise typer.Exit(1)


def _renew_report(results: Results, board: Board, executor: Executor) -> None:
    """Write the report where there is something new to tell; what goes wrong with it costs nothing else.

    Its pictures of models are drawn where these were trained, unless that is on other machines.
    """
    from lvmbench.api.progress import say
    from lvmbench.api.report import is_current, write_report
    from lvmbench.execution.local import HereExecutor
    from lvmbench.results.export import REPORT

    try:
        if not is_current(results.directory):
            place = HereExecutor() if executor.elsewhere else executor
            write_report(results, results.directory / REPORT, place, board)
    except Exception as error:
        say(f"the report could not be written: {type(error).__name__}: {error}")
