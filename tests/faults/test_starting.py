"""A worker is the same whether it is forked or started by itself, and does not outlive whom it is for."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from lvmbench.execution import starting
from lvmbench.execution.executor import Crash, Limits
from lvmbench.execution.local import LocalExecutor
from lvmbench.status import Status
from tests.faults.test_workers import ACT, alive, outcomes

ACROSS = "tests.faults.jobs:surroundings"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
HOLDING = """
import time
from lvmbench.execution.executor import Limits
from lvmbench.execution import starting
from lvmbench.execution.local import LocalExecutor
starting.PRELOADED = ()
with LocalExecutor(1) as executor:
    line = "print(os.getpid(), flush=True); ctypes.PyDLL(None).sleep(1000)"
    executor.submit(0, "tests.faults.jobs:act", line, Limits())
    while not executor._workers[0].log:
        executor.completed(0.05)
    print(executor._workers[0].log, starting._servers[-1]._process.pid, flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def own(monkeypatch):
    """Servers of this test alone, which are ready at once."""
    monkeypatch.setattr(starting, "PRELOADED", ("numpy",))
    monkeypatch.setattr(starting, "_servers", servers := [])
    yield servers
    for server in servers:
        server.end()


def done(job, work=ACT):
    """What becomes of one job, by a worker of its own."""
    with LocalExecutor(1) as executor:
        executor.submit(0, work, job, Limits())
        while not (ended := executor.completed(60)):
            pass
    return ended[0].outcome


def test_a_forked_worker_has_what_one_has_that_is_started_by_itself(own, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATER", "than the server")
    monkeypatch.syspath_prepend(str(tmp_path))
    forked = done(None, ACROSS)
    assert own[-1]._used
    monkeypatch.setattr(starting, "_FORKS", False)
    apart = done(None, ACROSS)
    assert forked == apart
    assert (forked["folder"], forked["variable"]) == (str(tmp_path), "than the server")
    assert str(tmp_path) in forked["path"]


def test_what_processes_inherit_is_inherited_of_whoever_starts_them_now(own):
    mask = os.umask(0o077)
    try:
        assert done(None, ACROSS)["mask"] == 0o077
    finally:
        os.umask(mask)
    assert done(None, ACROSS)["mask"] == mask


def test_each_worker_has_random_numbers_of_its_own(own):
    say = "import numpy, random; print(numpy.random.rand(), random.random(), flush=True); time.sleep(0.3)"
    with LocalExecutor(2) as executor:
        one, other = (ended.log.split() for ended in outcomes(executor, [say, say]))
    assert not set(one) & set(other)


def test_a_job_is_lost_with_the_server_and_the_next_has_another(own):
    with LocalExecutor(1) as executor:
        executor.submit(0, ACT, "print('begun', flush=True); time.sleep(1000)", Limits())
        while not executor._workers[0].log:
            assert executor.completed(0.05) == []
        worker = executor._workers[0]._process.pid
        own[-1]._process.kill()
        (ended,) = executor.completed(60)
        assert ended.outcome == Crash(
            Status.KILLED, "the worker process was killed (signal 9, SIGKILL)", foreign=True
        )
        assert [e.outcome for e in outcomes(executor, ["1"])] == ["done"]
    assert len(own) == 1  # the first is gone
    assert not alive(worker)


def test_a_library_that_has_started_threads_is_never_forked(own, monkeypatch):
    """Variables that libraries read once have another server started; one with threads forks none."""
    assert done("1") == "done"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert done("1") == "done"
    assert [server._used for server in own][-1] is False


def test_a_killed_runner_takes_its_workers_with_it_and_the_server():
    """Also one that holds the interpreter's lock, so that it cannot see for itself."""
    runner = subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True)
    with runner:
        worker, server = map(int, runner.stdout.readline().split())
        assert alive(worker)
        assert alive(server)
        runner.send_signal(signal.SIGKILL)
    while alive(worker) or alive(server):
        time.sleep(0.01)


def test_a_server_that_is_asked_for_nothing_ends():
    program = "from lvmbench.execution import forkserver as f; f.IDLE = 0.1; f.serve_forks()"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run([sys.executable, "-c", program], stdin=theirs.fileno(), check=True, timeout=300)
