"""Checks as pytest tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from lvmbench.checks.partners import Bench
from lvmbench.checks.report import Outcome
from lvmbench.checks.runner import Examination, examine
from lvmbench.checks.targets import Target
from lvmbench.errors import UserError
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import load_catalogue


def parametrize_with_checks(
    targets: Iterable[Target],
    *,
    catalogue: Catalogue | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[Any], Any]:
    """Make each check of each target a test, named ``posterior/gaussian:density_integrates_to_one``.

    The test is given the check as its argument ``check``, and calls it. ``expected_failures`` maps the name
    of a check, or ``kind/name:check`` for one component alone, to the reason.

    ::

        @parametrize_with_checks(["posterior/mine", "my_plugin.py"])
        def test_conformance(check):
            check()
    """
    import pytest

    bench = Bench(catalogue) if catalogue else installed()
    found = [e for target in targets for e in examine(target, catalogue=bench.catalogue, bench=bench)]
    cases = [(e, name) for e in found for name in e.names]
    reasons = dict(expected_failures or {})
    for examination in found:
        examination.expected = _reasons(examination, reasons)
        examination.bench.examined.add((examination.entry.kind, examination.entry.name))
    unknown = reasons.keys() - {name for e, check in cases for name in (check, f"{e.component}:{check}")}
    if unknown:
        raise UserError(f"expected failures of no check: {', '.join(sorted(unknown))}")
    tests = [pytest.param(_test(e, name), id=f"{e.component}:{name}") for e, name in cases]
    return pytest.mark.parametrize("check", tests)


@cache
def installed() -> Bench:
    """The partners among what is installed, found once for all the tests of a session."""
    return Bench(load_catalogue())


def _reasons(examination: Examination, reasons: Mapping[str, str]) -> dict[str, str]:
    """The reasons that concern one component."""
    own = {
        name: reasons[f"{examination.component}:{name}"]
        for name in examination.names
        if f"{examination.component}:{name}" in reasons
    }
    return {**{name: reasons[name] for name in examination.names if name in reasons}, **own}


def _test(examination: Examination, name: str) -> Callable[[], None]:
    def test() -> None:
        import pytest

        result = examination.result(name)
        if result.status == Outcome.SKIPPED:
            pytest.skip(result.reason)
        if result.status == Outcome.EXPECTED:
            pytest.xfail(result.reason)
        if result.status == Outcome.FAILED:
            pytest.fail(result.explanation, pytrace=False)

    return test
