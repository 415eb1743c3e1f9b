"""What ``plan`` shows of large plans."""

import pickle
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lvmbench.cli import planned
from lvmbench.cli.planned import DRAWN, FEW, MANY, show_plan
from lvmbench.execution.options import RunOptions
from lvmbench.execution.planning import Request, plan_job
from lvmbench.registry.loader import load_catalogue
from lvmbench.suites.effort import Estimate, Rates
from lvmbench.suites.plan import make_plan
from lvmbench.suites.suite import load_suite

CATALOGUE = load_catalogue()
TWO = SimpleNamespace(resources=SimpleNamespace(workers=2))
LATENTS = list(range(2, MANY + 3))


@pytest.fixture
def plan(tiny):
    """Plan the tiny suite with other keys."""
    return lambda **changes: make_plan(load_suite(str(tiny.write(**changes)), CATALOGUE), CATALOGUE)


@pytest.fixture
def show(tiny, capsys):
    """What is shown of a plan."""

    def show(plan, *, timed=False, whole=False):
        prepared = SimpleNamespace(plan=plan, directory=tiny.folder / "out", store=None, executor=TWO)
        show_plan(prepared, timed=timed, whole=whole)
        return capsys.readouterr().out.splitlines()

    return show


def rows(shown):
    return [line for line in shown if "to do" in line]


def test_a_large_plan_shows_some_combinations_and_all_where_that_is_asked_for(plan, show):
    large = plan(latent=LATENTS, priors=["standard_normal"])
    shown, whole = show(large), show(large, whole=True)
    assert len(rows(whole)) == len(LATENTS)
    # cells are as wide as the widest that is shown
    assert len(rows(shown)) == DRAWN
    assert {" ".join(row.split()) for row in rows(shown)} < {" ".join(row.split()) for row in rows(whole)}
    drawn = f"{DRAWN} of {len(LATENTS)} that can run, drawn at random; --all shows and times each"
    assert drawn in shown
    assert drawn not in whole
    assert rows(show(plan(latent=LATENTS[:MANY], priors=["standard_normal"])))[MANY - 1]


def test_many_refused_combinations_are_counted_by_reason(plan, show):
    posteriors = [f"gaussian[hidden={n}]" for n in range(2, FEW + 4)]
    refused = plan(priors=["bernoulli"], posteriors=posteriors, latent=[2, 3])
    *counted, rest = (line for line in show(refused) if line.startswith(("refused", "and ")))
    named = [line for line in show(refused, whole=True) if line.startswith("refused")]
    assert counted[0].startswith(
        "refused: 2 combinations: posterior 'gaussian[hidden=2]' requires prior.real"
    )
    assert len(counted) == FEW
    assert rest == "and 4 combinations for 2 other reasons; --all has them"
    assert len(named) == len(counted) * 2 + 4


def test_what_all_take_is_told_by_those_that_are_timed(plan, show, monkeypatch):
    minute = Estimate(60.0, Rates(0.0, 0.0, 0.0))
    monkeypatch.setattr(planned, "_costs", lambda prepared, tried: {id(one): minute for one in tried})
    large = plan(latent=LATENTS, priors=["standard_normal"], seeds=[0])
    assert f"training takes at most about {len(LATENTS)} min" in show(large, timed=True)[-1]
    assert f"training takes at most {len(LATENTS)} min" in show(large, timed=True, whole=True)[-1]


def test_who_shows_a_plan_needs_no_torch(tiny):
    """It takes a second to import, where jobs are done; the process that waits for them has no use for it."""
    request = Request(str(tiny.write()), RunOptions())
    answer = pickle.dumps(plan_job((request, {}), lambda news: None))
    script = "import pickle, sys, lvmbench.cli.planned; plan = pickle.load(sys.stdin.buffer).plan; "
    script += "print(len(plan.planned), 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], input=answer, capture_output=True, check=True)
    assert found.stdout.split() == [b"2", b"False"]
