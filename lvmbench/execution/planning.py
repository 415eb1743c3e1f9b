"""Planning where jobs are done: components are made and asked for a plan, which may end a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lvmbench.errors import LvmbenchError, UserError
from lvmbench.execution.asking import Mistake, Question, answered, ask, attempt, telling
from lvmbench.execution.executor import Crash, Executor, Tell
from lvmbench.execution.options import RunOptions
from lvmbench.registry.catalogue import Catalogue, PluginProblem
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.registry.sandbox import preserved
from lvmbench.suites.effort import Estimate
from lvmbench.suites.suite import Suite, load_suite

if TYPE_CHECKING:
    from lvmbench.execution.jobs import Baselines
    from lvmbench.suites.planned import Plan, Planned

PLAN, ESTIMATE = "lvmbench.execution.planning:plan_job", "lvmbench.execution.planning:estimate_job"


@dataclass(frozen=True)
class Request:
    """What is to be planned.

    Arguments:
        suite: A registered name or the path of a file.
        options: How it is to be run.
        seeds: Which seeds, or how many, instead of the suite's.
        only: Patterns of combinations.
        evaluators: What measures instead of what the suite asks for.
        elsewhere: Whether it is run on other machines than it is planned on.
    """

    suite: str
    options: RunOptions
    seeds: int | Sequence[int] | None = None
    only: Sequence[str] = ()
    evaluators: Sequence[str] = ()
    elsewhere: bool = False


@dataclass(frozen=True)
class Answer:
    """A plan, what its data are held against, what follows it, and what is wrong with plugins."""

    plan: Plan
    baselines: Baselines
    trackers: tuple[Ref, ...]
    problems: tuple[PluginProblem, ...]


def plan_in(executor: Executor, request: Request, limit: float | None) -> Answer:
    """Plan where an executor does jobs; code that ends its process is left out, and its combinations end so.

    ``limit`` is how many seconds one component may take. Raises `UserError` where nothing can be planned.
    """
    answer: Answer = ask(executor, PLAN, request, "the suite cannot be planned", limit)
    return answer


def estimate_in(
    executor: Executor, selection: PluginSelection, planned: Sequence[Planned], device: str
) -> list[Estimate]:
    """What combinations would cost, timed where an executor does jobs; unknown of what ends its process."""
    left, found = [replace(p, provenance={}) for p in planned], list[Estimate]()
    while len(found) < len(left):
        outcome, step = attempt(executor, ESTIMATE, (selection, left[len(found) :], device))
        if isinstance(outcome, Crash):  # the one that was tried is not known, nor those that were before it
            found += [Estimate(None, None)] * (int(step or 0) + 1)
        else:
            found += outcome
    return found


def plan_job(question: Question, tell: Tell) -> Answer | Mistake:
    """Load plugins and suite, and plan; or say what the user did wrong."""
    answer: Answer | Mistake = answered(question, tell, _planned)
    return answer


def _planned(request: Request) -> Answer:
    catalogue = load_catalogue(request.options.selection)
    suite = _with_seeds(load_suite(request.suite, catalogue), request.seeds)
    return _answer(suite, request, catalogue)


def _answer(suite: Suite, request: Request, catalogue: Catalogue) -> Answer:
    from lvmbench.execution.fitting import baselines_of  # torch is imported once the suite can be used
    from lvmbench.suites.figures import instruments
    from lvmbench.suites.plan import make_plan
    from lvmbench.training import pick_device

    if not request.elsewhere:
        pick_device(request.options.device)
    wanted = tuple(_named("evaluator", name, catalogue) for name in request.evaluators)
    trackers = tuple(_named("tracker", name, catalogue) for name in request.options.trackers)
    plan = make_plan(suite, catalogue, request.only)
    if wanted:
        plan = plan.measured_by(instruments(catalogue, wanted), wanted)
    baselines = baselines_of(plan.data, request.options)
    return Answer(plan.portable, baselines, trackers, catalogue.problems)


def _with_seeds(suite: Suite, seeds: int | Sequence[int] | None) -> Suite:
    """The suite with other seeds, 0 ... N-1 where their number is given."""
    if seeds is None:
        return suite
    return replace(suite, seeds=tuple(range(seeds) if isinstance(seeds, int) else seeds))


def _named(kind: str, name: str, catalogue: Catalogue) -> Ref:
    """What an option of the command names; raises `UserError` where there is none that can be imported."""
    try:
        return catalogue.canonical(kind, Ref.parse(name))
    except LvmbenchError as error:
        raise UserError(f"--{kind}: {error}") from None


def estimate_job(job: tuple[PluginSelection, Sequence[Planned], str], tell: Tell) -> list[Estimate]:
    """Time a few steps and draws of each combination."""
    from lvmbench.execution.worker import world
    from lvmbench.training import pick_device
    from lvmbench.training.estimate import estimate

    selection, planned, device = job
    catalogue, data = world(selection)
    found = []
    for number, one in enumerate(planned):
        telling(tell)(str(number))
        with preserved([]):
            found.append(estimate(one, data[one.combination["dataset"]], catalogue, pick_device(device)))
    return found
