"""Which GPUs there are and who gets which, on machines that have none."""

import pytest

from lvmbench.errors import UserError
from lvmbench.execution.executor import Limits
from lvmbench.execution.executors import executor_of
from lvmbench.execution.gpus import VISIBLE, emptiest, gpus_here, workers_for
from lvmbench.execution.local import LocalExecutor
from lvmbench.execution.options import RunOptions

ACT = "tests.faults.jobs:act"
WAIT = f"print(os.environ[{VISIBLE!r}], flush=True)\ntime.sleep(1000)"


@pytest.mark.parametrize(
    ("said", "gpus"),
    [
        ("0,1,2", ("0", "1", "2")),
        ("3", ("3",)),
        (" GPU-8932f937, MIG-7 ", ("GPU-8932f937", "MIG-7")),
        ("1,-1,2", ("1",)),
        ("", ()),
    ],
)
def test_the_environment_says_which_gpus_there_are(said, gpus):
    assert gpus_here({VISIBLE: said}) == gpus


def test_the_driver_is_asked_where_the_environment_does_not_say(monkeypatch):
    monkeypatch.setattr("lvmbench.execution.gpus._count", lambda: 2)
    assert gpus_here({}) == ("0", "1")


def test_workers_are_spread_over_all_gpus():
    gpus, taken = ("0", "1", "2"), []
    for _ in range(7):
        taken.append(emptiest(gpus, taken))
    assert taken == ["0", "1", "2", "0", "1", "2", "0"]
    taken.remove("1")  # a worker that has died
    assert emptiest(gpus, taken) == "1"


def test_how_many_workers_there_are():
    assert workers_for(None, None, gpus=0, cores=16) == 16
    assert workers_for(3, None, gpus=0, cores=16) == 3
    assert workers_for(None, None, gpus=2, cores=16) == 16
    assert workers_for(None, 3, gpus=2, cores=16) == 6
    assert workers_for(4, 3, gpus=2, cores=16) == 4
    assert workers_for(9, 3, gpus=2, cores=16) == 6
    assert workers_for(None, 3, gpus=0, cores=16) == 16


def test_each_worker_sees_one_gpu_and_its_successor_the_same():
    with LocalExecutor(3, ("0", "1")) as executor:
        for number in range(3):
            executor.submit(number, ACT, WAIT, Limits())
        while not all(worker.log for worker in executor._workers):
            assert executor.completed(0.05) == []
        assert [worker.log for worker in executor._workers] == ["0", "1", "0"]
        lost = executor._workers[1]
        lost._process.kill()
        assert executor.completed(60)[0].number == lost.number
        executor.submit(3, ACT, f"print(os.environ[{VISIBLE!r}])", Limits())
        assert executor.completed(60)[0].log == "1"


def test_one_gpu_or_none_is_left_as_it_is(monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)
    for gpus in ((), ("0",)):
        with LocalExecutor(1, gpus) as executor:
            executor.submit(0, ACT, f"assert {VISIBLE!r} not in os.environ", Limits())
            assert executor.completed(60)[0].outcome == "done"


def test_devices_that_leave_the_choice_are_spread(monkeypatch):
    monkeypatch.setenv(VISIBLE, "0,1")
    for device, gpus, workers in (("auto", 2, 4), ("cuda", 2, 4)):
        assert executor_of(RunOptions(device, jobs_per_gpu=2)).resources == (workers, gpus)
    assert executor_of(RunOptions("cpu", jobs=3)).resources == (3, 0)
    assert executor_of(RunOptions("cuda:1", jobs=3)).resources == (3, 0)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"device": "cpu", "jobs_per_gpu": 2}, "--jobs-per-gpu divides GPUs, and --device is cpu"),
        ({"executor": "ray", "profile": True}, "--profile times workers of this machine"),
        ({"address": "auto"}, "give --executor ray too"),
        ({"executor": "ray", "jobs": 0}, "--jobs 0 does jobs in this process, and not by --executor ray"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, complaint):
    with pytest.raises(UserError, match=complaint):
        RunOptions(**options)


def test_an_executor_that_is_none_is_named():
    with pytest.raises(UserError, match="--executor: no 'rai'; did you mean 'ray'?"):
        executor_of(RunOptions(executor="rai"))
