"""The check that declared requirements are enough: every partner that meets them works."""

from __future__ import annotations

from collections import Counter
from functools import cache

from lvmbench.checks.contract import BUILT, Violation, applies, contract
from lvmbench.checks.partners import Case, Fixed
from lvmbench.checks.search import Capabilities
from lvmbench.checks.specimen import Specimen, stream
from lvmbench.combinations.parts import Parts
from lvmbench.combinations.requirements import capabilities
from lvmbench.noise import Recorder
from lvmbench.training.learner import Learner, check_terms, one_pass

Failure = tuple[str, Exception, Capabilities]
"""The partner, what was raised, and what the combination provides."""


@contract(
    *BUILT,
    due="It works with every partner in the catalogue that meets its declared requirements.",
    read="component.Component",
)
def works_with_every_partner(specimen: Specimen) -> None:
    """In combinations that have all partners between them.

    Where one of these fails, partner by partner, for the blame.
    """
    cases = specimen.bench.covering((specimen.kind, specimen.small))
    applies(bool(cases), _nobody(specimen))
    failed = [(case, error) for case in cases if (error := trouble(case))]
    if failed:
        _partner_by_partner(specimen, [case for case in cases if not trouble(case)])
    for case, error in failed:
        others = {kind: ref for kind, ref in case.refs.items() if kind != specimen.kind}
        if _works_elsewhere(specimen, others):
            raise blame([(str(case), error, provided(case))], [])


def _partner_by_partner(specimen: Specimen, works: list[Case]) -> None:
    """The first combination with each partner; raises `Violation` where it is to blame for a failure.

    Where nothing works, one failure tells as much as all.
    """
    failures: list[Failure] = []
    for name, partner, case in specimen.bench.partners({specimen.kind: specimen.small}):
        error = trouble(case)
        if error is None:
            works.append(case)
        elif _works_elsewhere(specimen, partner):
            failures.append((name, error, provided(case)))
        if failures and not works:
            break
    if failures:
        raise blame(failures, [provided(case) for case in works])


def provided(case: Case) -> Capabilities:
    """What a combination provides."""
    return capabilities(case.source.data, case.parts())


def _nobody(specimen: Specimen) -> str:
    wanted = ", ".join(sorted(specimen.cls.requires)) or "anything"
    return f"no partners in the catalogue provide {wanted}"


def step(parts: Parts, case: Case) -> None:
    """One step of training and one of validation, with all shapes checked."""
    learner, x = Learner(parts), case.source.data.splits["train"].values[:4]
    check_terms(learner, x)
    one_pass(learner, x, Recorder(stream()), False)
    surrogate, bound = one_pass(learner, x, Recorder(stream()), True)
    if not (surrogate.isfinite().all() and bound.isfinite().all()):
        raise Violation("bound or surrogate is not finite")
    if surrogate.requires_grad:
        surrogate.sum().backward()


@cache
def trouble(case: Case) -> Exception | None:
    """What a step of a combination raises, if anything.

    It is found once, as others ask it of the same combination.
    """
    try:
        step(case.parts(), case)
    except Exception as error:
        return error.with_traceback(None)
    return None


def _works_elsewhere(specimen: Specimen, partner: Fixed) -> bool:
    """Whether a partner works with another component of this kind, or there is no other to tell."""
    others = [ref for ref in specimen.bench.offers[specimen.kind] if ref.name != specimen.ref.name]
    found = (specimen.bench.find({**partner, specimen.kind: ref}) for ref in others)
    steps = (trouble(case) is None for case in found if case)
    return not partner or next(steps, None) is not False or any(steps)


def blame(failures: list[Failure], works: list[Capabilities]) -> Violation:
    """The first failure, with what should have been required:
    what no combination that fails has, and most that work have.
    """
    partner, error, _ = failures[0]
    text = " ".join(str(error).split())[:200]
    held = Counter(word for provided in works for word in provided)
    for _, _, provided in failures:
        held = Counter({word: count for word, count in held.items() if word not in provided})
    most = max(held.values(), default=0)
    # what is known of a pair says more than what its halves happen to have
    lacking = sorted(
        (w for w in held if held[w] == most), key=lambda word: (not word.startswith("model."), word)
    )
    sure = 2 * most > len(works)
    named = f"'{lacking[0]}'" if lacking and sure else "what this partner lacks"
    among = f" (all that work have {', '.join(lacking)})" if len(lacking) > 1 and most == len(works) else ""
    return Violation(
        f"with {partner} it raised {type(error).__name__}: {text}", f"declare that it requires {named}{among}"
    )
