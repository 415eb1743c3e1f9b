"""Running checks."""

from __future__ import annotations

import random
import traceback
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from lvmbench.checks.contract import Check, Skip, Violation, checks_of
from lvmbench.checks.options import required, small, variants
from lvmbench.checks.partners import LIMIT, Bench
from lvmbench.checks.report import CheckResult, Outcome, Report
from lvmbench.checks.samples import sample_options
from lvmbench.checks.scope import Declared, due
from lvmbench.checks.specimen import Specimen
from lvmbench.checks.targets import Target, resolve
from lvmbench.errors import Unavailable, UserError, nearest
from lvmbench.registry.catalogue import Catalogue, Entry
from lvmbench.registry.names import Ref
from lvmbench.registry.watch import Fatal, entered

COMPLETE = "every_check_that_applies_ran"
"""The check of checking itself; it is left out where checks are chosen by name."""


class Examination:
    """All checks of one component; each runs once, when first asked for.

    Arguments:
        bench: The catalogue it is in.
        entry: Where it is registered.
        ref: Its name, and options that are given.
        expected: The reasons of the failures that are expected, by check.
        only: The names of the checks to run; all where not given.
    """

    def __init__(
        self, bench: Bench, entry: Entry, ref: Ref, expected: Mapping[str, str], only: Collection[str] | None
    ) -> None:
        self.bench, self.entry, self.ref, self.expected = bench, entry, ref, expected
        self.checks = checks_of(entry.kind, only)
        self.complete = only is None
        self._fatal = ""
        self._results: dict[str, CheckResult] = {}
        self._skips: dict[tuple[str, Ref], str] = {}

    @property
    def component(self) -> str:
        """``kind/name``."""
        return f"{self.entry.kind}/{self.ref}"

    @property
    def names(self) -> list[str]:
        """The checks that it runs."""
        return [check.name for check in self.checks] + ([COMPLETE] if self.complete else [])

    def result(self, name: str) -> CheckResult:
        """The result of one check."""
        if name not in self._results:
            found = self._complete() if name == COMPLETE else self._tried(self._check(name))
            self._results[name] = self._judge(found)
        return self._results[name]

    def results(self) -> Iterator[CheckResult]:
        """The results of all."""
        yield from (self.result(name) for name in self.names)

    def _check(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    def _judge(self, found: CheckResult) -> CheckResult:
        """Failures that are expected, and no others, are no failures."""
        reason = self.expected.get(found.check)
        if reason is None or found.status == Outcome.SKIPPED:
            return found
        if found.status == Outcome.FAILED:
            return replace(found, status=Outcome.EXPECTED, reason=reason)
        return replace(
            found,
            status=Outcome.FAILED,
            message=f"it passed, but was expected to fail: {reason}; take that back",
        )

    def _complete(self) -> CheckResult:
        """Whether the checks that ran are those that what it declares makes due,
        with each choice of options.
        """
        found = [self.result(check.name) for check in self.checks]
        due = "Each check that applies by what the component declares has run, and no other."
        result = CheckResult(self.component, COMPLETE, Outcome.PASSED, due, "lvmbench.checks.scope.SCOPE")
        if any(r.status == Outcome.FAILED for r in found):
            return replace(result, status=Outcome.SKIPPED, reason="other checks failed: mend these first")
        odd = [text for specimen in self._specimens for text in self._odd(specimen)]
        return replace(result, status=Outcome.FAILED, message="; ".join(odd)) if odd else result

    def _odd(self, specimen: Specimen) -> Iterator[str]:
        """What ran or was skipped against what is declared."""
        declared = Declared(specimen)
        for check in self.checks:
            reason = self._skips.get((check.name, specimen.ref))
            if check.once and specimen is not self._specimens[0]:
                continue
            with _isolated():
                expected = due(check, declared)
            if expected and reason is not None:
                yield f"with {specimen.ref} '{check.name}' applies and was skipped: {reason}"
            elif not expected and reason is None:
                yield f"with {specimen.ref} '{check.name}' ran, though nothing that is declared asks for it"

    def _tried(self, check: Check) -> CheckResult:
        """One check, if neither it nor one before it has ended its process."""
        done = CheckResult(
            self.component, check.name, Outcome.PASSED, check.due, check.read, explains=check.explains
        )
        if self._fatal:
            return replace(done, status=Outcome.SKIPPED, reason=f"check '{self._fatal}' ended its process")
        try:
            with entered(f"check '{check.name}' of {self.component}"):
                return self._run(check, done)
        except Fatal as error:
            self._fatal = check.name
            return replace(done, status=Outcome.FAILED, message=str(error))

    def _run(self, check: Check, done: CheckResult) -> CheckResult:
        """One check, with each of the component's choices of options that it is for."""
        skips, notes, ran = [], [], 0
        if self._absent and check is self.checks[0]:
            return replace(done, status=Outcome.FAILED, message=self._absent)
        if self._absent:
            return replace(done, status=Outcome.SKIPPED, reason="it cannot be imported")
        for specimen in self._specimens[:1] if check.once else self._specimens:
            try:
                with _isolated():
                    notes.append(check.run(specimen) or "")
                ran += 1
            except Skip as skip:
                skips.append(str(skip))
                self._skips[check.name, specimen.ref] = str(skip)
            except Exception as error:
                return replace(done, status=Outcome.FAILED, message=_came(error, specimen.ref))
        if not ran:
            return replace(done, status=Outcome.SKIPPED, reason=skips[0])
        return replace(done, message="; ".join(dict.fromkeys(note for note in notes if note)))

    @cached_property
    def _absent(self) -> str:
        """Why the class cannot be imported, if so."""
        try:
            self.entry.load()
        except Unavailable as error:
            return str(error)
        return ""

    @cached_property
    def _specimens(self) -> list[Specimen]:
        """The component as given, and with each of its named choices, these with small whole numbers."""
        try:
            cls = self.entry.load()
            default = next((ref.options for ref in self.bench.choices(self.entry)), {})
            given = {**sample_options(cls), **default, **self.ref.options}
            lacking = set(required(cls)) - set(given)
            few = given if self.entry.kind == "dataset" else {**small(cls, LIMIT), **given}
            base = few if self.entry.kind == "evaluator" else given
            # the usual choice is tried at the size that it is used at, each other one small, as partners are
            others = [] if lacking else variants(self.ref.name, cls, few)[1:]
            refs = [Ref(self.ref.name, base), *others]
        except Exception:  # the checks of its class say why
            refs = [self.ref]
        return [Specimen(self.bench, self.entry, ref, refs[:i]) for i, ref in enumerate(refs)]


def _came(error: Exception, ref: Ref) -> str:
    where = f" (with {ref})" if ref.options else ""
    if isinstance(error, Violation):
        return f"{error}{where}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    # what is written for users is short, and ends with what to do
    text = " ".join(str(error).split())[: None if isinstance(error, UserError) else 300]
    return (
        f"it raised {type(error).__name__}: {text}, in {frame.name} ({frame.filename}:{frame.lineno}){where}"
    )


@contextmanager
def _isolated() -> Iterator[None]:
    """One thread; global state is as it was afterwards; warnings are not the check's business."""
    states, threads = (np.random.get_state(), random.getstate()), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.default_generator.manual_seed(0)  # checks are made on the CPU
            yield
    finally:
        torch.set_num_threads(threads)
        np.random.set_state(states[0])
        random.setstate(states[1])


def examine(
    target: Target,
    *,
    catalogue: Catalogue | None = None,
    kind: str | None = None,
    expected_failures: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    bench: Bench | None = None,
) -> list[Examination]:
    """The checks of each component that a target means, not yet run.

    Raises `UserError` for a target that is none.
    """
    whole, found = resolve(target, catalogue, kind)
    expected = dict(expected_failures or {})
    if bench is None or bench.catalogue is not whole:
        bench = Bench(whole)
        bench.examined |= {(entry.kind, entry.name) for entry, _ in found}
    made = [Examination(bench, entry, ref, expected, only) for entry, ref in found]
    known = {name for examination in made for name in examination.names}
    for name in expected:
        if name not in known:
            raise UserError(f"expected failure of unknown check '{name}'{nearest(name, known)}")
    return made


def check(
    target: Target,
    *,
    catalogue: Catalogue | None = None,
    kind: str | None = None,
    expected_failures: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
) -> Report:
    """Check that a component keeps its contract.

    Arguments:
        target: A registered name (``gaussian``, ``posterior/gaussian``, with options if need be), an `Entry`,
            a component class, or a plugin file: then everything that it registers.
        catalogue: Where partners are found; by default what is installed.
        kind: Which kind, where several have the name.
        expected_failures: Why a check is known to fail, by its name; one that passes all the same is a
            failure.
        only: The names of the checks to run.
    """
    found = examine(target, catalogue=catalogue, kind=kind, expected_failures=expected_failures, only=only)
    return Report(result for examination in found for result in examination.results())
