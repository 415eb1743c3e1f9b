"""Whatever a job does to the process that it is done in, it alone is lost, and it is told how."""

import os

import pytest

from lvmbench.execution.executor import Crash
from lvmbench.execution.local import HereExecutor, Limits, LocalExecutor
from lvmbench.execution.pool import CannotStart
from lvmbench.execution.process import WorkerProcess
from lvmbench.status import Status

ACT, PROCESS, WAIT = (f"tests.faults.jobs:{name}" for name in ("act", "process", "wait_for"))
NONE = Limits()
KILLED = "the worker process was killed"
FATES = {
    "os._exit(0)": (Status.KILLED, "the worker process ended by itself (exit code 0)"),
    "os._exit(7)": (Status.KILLED, "the worker process ended by itself (exit code 7)"),
    "sys.exit('enough')": (Status.FAILED, "SystemExit: enough"),
    "raise KeyboardInterrupt": (Status.FAILED, "KeyboardInterrupt"),
    "raise GeneratorExit": (Status.FAILED, "GeneratorExit"),
    "raise Own('mine')": (Status.FAILED, "Own: mine"),
    "raise Mute": (Status.FAILED, "Mute: (its message cannot be had: KeyboardInterrupt)"),
    "raise MemoryError": (Status.OOM, "MemoryError"),
    "os.kill(os.getpid(), signal.SIGKILL)": (
        Status.KILLED,
        "the worker process was killed (signal 9, SIGKILL)",
    ),
    "ctypes.string_at(0)": (Status.KILLED, "the worker process was killed (signal 11, SIGSEGV)"),
    "os.kill(os.getpid(), signal.SIGINT)": None,
    "[threading.Thread(target=time.sleep, args=[1000]).start() for _ in range(200)]": None,
    "os.environ.clear(); os.chdir('/')": None,
    "print('x' * 10**7); os.write(2, b'y' * 10**7)": None,
    "sys.stdout.close(); sys.stderr.close()": None,
    "1 + 1": None,
}


def outcomes(executor, lines, limits=NONE):
    """What becomes of each line, in the order in which they are given."""
    waiting, ended = list(enumerate(lines)), {}
    while len(ended) < len(lines):
        while waiting and executor.room:
            number, line = waiting.pop(0)
            executor.submit(number, ACT, line, limits)
        ended |= {e.number: e for e in executor.completed(1)}
    return [ended[number] for number in range(len(lines))]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_job_ends_as_it_ends_and_costs_no_other():
    with LocalExecutor(2) as executor:
        ended = outcomes(executor, FATES)
    for (line, fate), found in zip(FATES.items(), ended, strict=True):
        outcome = found.outcome
        assert ((outcome.status, outcome.reason) if isinstance(outcome, Crash) else None) == fate, line


def test_what_a_job_says_is_bounded_and_kept_apart():
    lines = [
        "raise ValueError('long ' * 10**6)",
        "print('before'); os.write(2, b'after\\n'); os._exit(1)",
        "1",
    ]
    with LocalExecutor(1) as executor:
        long, told, other = outcomes(executor, lines)
    assert len(long.outcome.reason) <= 1000
    assert len(long.outcome.traceback) <= 20_000
    assert told.log == "before\nafter"
    assert (other.outcome, other.log) == ("done", "")


def test_what_a_job_says_is_known_when_it_ends(monkeypatch):
    """Also where the thread that reads it has not been given a turn since."""
    monkeypatch.setattr(WorkerProcess, "_keep_log", lambda worker: None)
    with LocalExecutor(1) as executor:
        assert [ended.log for ended in outcomes(executor, ["print('one')", "print('two')"])] == ["one", "two"]


def test_a_limit_of_time_ends_a_job_with_all_that_it_has_started(tmp_path):
    """Also a job that holds the interpreter's lock, and one that has started others."""
    child, forked = tmp_path / "child", tmp_path / "forked"
    lines = [
        f"open({str(child)!r}, 'w').write(str(subprocess.Popen(['sleep', '1000']).pid)); time.sleep(1000)",
        "ctypes.PyDLL(None).sleep(1000)",
        f"open({str(forked)!r}, 'w').write(str(os.getpid())) if os.fork() else None; time.sleep(1000)",
    ]
    with LocalExecutor(2) as executor:
        late = outcomes(executor, lines, Limits(seconds=2))
        (last,) = outcomes(executor, ["1 + 1"])
    assert [(e.outcome.status, e.outcome.reason) for e in late] == [
        (Status.TIMEOUT, "took longer than 2 s (--timeout)")
    ] * 3
    assert last.outcome == "done"
    assert not alive(child.read_text())
    assert not alive(forked.read_text())


def test_a_limit_of_memory_ends_a_job_that_takes_more():
    lines = ["x = []\nwhile True: x.append(bytearray(os.urandom(10**6))); time.sleep(0.001)", "1 + 1"]
    with LocalExecutor(1) as executor:
        greedy, other = outcomes(executor, lines, Limits(memory=200 * 2**20))
    assert greedy.outcome.status == Status.OOM
    assert "more than 0.20 (--memory)" in greedy.outcome.reason
    assert greedy.memory > 200 * 2**20
    assert other.outcome == "done"


def test_the_clock_of_a_job_starts_when_its_worker_is_warm(tmp_path):
    with LocalExecutor(1) as executor:
        executor.prepare(WAIT, tmp_path / "warm")
        executor.submit(0, ACT, "time.sleep(1000)", Limits(seconds=1e-9))
        assert [executor.completed(0.3) for _ in range(3)] == [[]] * 3
        (tmp_path / "warm").touch()
        assert executor.completed(60)[0].outcome.status == Status.TIMEOUT


def test_a_worker_that_is_killed_while_it_starts_costs_nothing(tmp_path):
    with LocalExecutor(1) as executor:
        executor.prepare(WAIT, tmp_path / "warm")
        executor.submit(0, PROCESS, None)
        assert executor.completed(0.3) == []
        os.kill(executor._workers[0]._process.pid, 9)
        (tmp_path / "warm").touch()
        assert isinstance(executor.completed(60)[0].outcome, int)


def test_workers_that_never_start_are_told_of_in_one_line():
    with LocalExecutor(2) as executor:
        executor.prepare(ACT, "print('no library'); os._exit(3)")
        executor.submit(0, PROCESS, None)
        with pytest.raises(CannotStart, match=r"worker processes cannot start \(exit code 3\): no library"):
            executor.completed(120)


def test_this_process_tells_of_a_job_while_it_does_it():
    heard = []
    with HereExecutor() as executor:
        executor.listen(lambda number, news: heard.append((number, news.done)))
        executor.submit(7, "tests.faults.jobs:count", 3)
        (ended,) = executor.completed(0)
    assert (ended.outcome, heard[0], heard[-1]) == ("counted", (7, 1), (7, 3))


def test_warm_workers_are_used_again_and_end_with_their_executor():
    found = []
    with LocalExecutor(1) as executor:
        for number in range(3):
            executor.submit(number, PROCESS, None)
            found += [e.outcome for e in executor.completed(30)]
    assert len(found) == 3
    assert len(set(found)) == 1
    assert not alive(found[0])


def test_workers_that_there_are_prepare_for_what_is_to_come():
    with LocalExecutor(1) as executor:
        executor.submit(0, PROCESS, None)
        before = executor.completed(30)[0].outcome
        executor.prepare(ACT, "os.environ['PREPARED'] = 'yes'")
        executor.submit(1, ACT, "assert os.environ['PREPARED'] == 'yes'")
        (ended,) = executor.completed(30)
        assert (ended.outcome, ended.prepared) == ("done", "done")
        executor.submit(2, PROCESS, None)
        assert executor.completed(30)[0].outcome == before


def test_what_is_cancelled_ends_at_once():
    with LocalExecutor(2) as executor:
        executor.submit(0, ACT, "time.sleep(1000)")
        executor.submit(1, ACT, "time.sleep(1000)")
        executor.cancel()
        assert executor.room == 2
        assert executor.completed(0) == []
