"""What is said of results is true: what is missing is named, and done by the command that is named."""

import pytest

from tests.faults.test_components import EVALUATORS

ONE = {"priors": ["standard_normal"], "seeds": [0]}
MORE = ["tightness[samples=20,repeats=5]", "clustering"]


@pytest.fixture
def half_measured(tiny, monkeypatch):
    """A run that was killed after it had trained a model and before its second evaluator measured it."""
    add = "lvmbench.results.store.Store.add_evaluation"
    from lvmbench.results.store import Store

    kept = Store.add_evaluation

    def stop(store, evaluation, rows, owner=""):
        if evaluation["evaluator"] == "clustering":
            raise KeyboardInterrupt
        return kept(store, evaluation, rows, owner)

    with monkeypatch.context() as patch:
        patch.setattr(add, stop)
        with pytest.raises(KeyboardInterrupt):
            tiny.run(**ONE, evaluators=MORE)
    return tiny.folder / "out"


def test_status_plan_and_publish_name_what_is_not_measured(half_measured, tiny, cli):
    shown = cli("status", half_measured)
    assert f"1 evaluation missing (clustering of 1 run): lvmbench retry {half_measured}" in shown.out
    shown = cli("plan", tiny.folder / "tiny.yaml", "--out", half_measured, "--no-estimate")
    assert "1 run, 1 done, 1 evaluation of these missing" in shown.out
    shown = cli("publish", half_measured, tiny.folder / "board")
    assert shown.code == 2
    assert "not yet measured by clustering (1); do that with lvmbench retry" in shown.err
    assert not (tiny.folder / "board").exists()


def test_retry_does_what_is_not_measured(half_measured, tiny, cli):
    shown = cli("retry", half_measured, "--jobs", 0)
    assert (shown.code, "trained now: 0" in shown.out) == (0, True)
    assert sorted(tiny.frame("evaluations")["evaluator"]) == ["clustering", "tightness[repeats=5,samples=20]"]
    assert "missing" not in cli("status", half_measured).out


def test_an_added_evaluator_that_was_never_begun_is_done_by_retry(tiny, cli, monkeypatch):
    tiny.have(**ONE)
    with monkeypatch.context() as patch:
        patch.setattr("lvmbench.execution.session.Session.run", lambda *arguments: None)
        tiny.run(**ONE, evaluators=["clustering"], training=False)
    assert "1 evaluation missing (clustering of 1 run)" in cli("status", tiny.folder / "out").out
    tiny.write(**ONE)
    assert cli("retry", tiny.folder / "out", "--jobs", 0).code == 0
    assert set(tiny.frame("evaluations")["status"]) == {"ok"}
    assert len(tiny.frame("evaluations")) == 2


def test_more_failures_than_are_borne_begin_nothing_new(tiny):
    plugin = tiny.plugin("failing_much", EVALUATORS.replace("os._exit(0)", "raise ValueError('no')"))
    what = {"evaluators": ["dying"], "priors": ["standard_normal"], "seeds": [0, 1, 2, 3]}
    summary = tiny.run(plugins=[plugin], options={"max_failures": "1"}, **what)
    assert summary.stopped == "stopped after 2 failures (--max-failures)"
    assert len(tiny.frame("evaluations")) == 2
    assert tiny.run(plugins=[plugin], options={"max_failures": "60%"}, **what).stopped == ""


@pytest.mark.parametrize("limit", ["x", "-1", "%", "5 %"])
def test_a_limit_of_failures_is_a_number_or_a_part(cli, limit):
    shown = cli("run", "quick", f"--max-failures={limit}")
    assert (shown.code, "should be a number of runs, as 10, or a part, as 5%" in shown.err) == (2, True)


def test_a_limit_that_cannot_be_kept_is_refused(cli):
    shown = cli("run", "quick", "--jobs", 0, "--timeout", 5)
    assert shown.code == 2
    assert "--timeout needs worker processes, which can be ended, and --jobs is 0; give --jobs 1" in shown.err
