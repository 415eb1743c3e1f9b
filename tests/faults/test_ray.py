"""Jobs on a Ray cluster: what is lost with a worker or a node costs nothing else."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lvmbench.errors import UserError
from lvmbench.execution.distributed import RayExecutor
from lvmbench.execution.executor import Limits
from lvmbench.execution.jobs import Warming
from lvmbench.registry.loader import PluginSelection
from lvmbench.status import Status
from tests.execution.test_runner import assert_alike

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'lvmbench[ray]'")
ACT, PROCESS, TELL = (f"tests.faults.jobs:{name}" for name in ("act", "process", "tell_often"))
WARM_UP = "lvmbench.execution.worker:warm_up"
NONE = Limits()
SLEEPY = """
import time, lvmbench
from lvmbench_plugins.priors.standard_normal import StandardNormal

class Sleepy(StandardNormal):
    "A standard normal that takes its time."
    refreshes = True
    def __init__(self, data, latent, *, number: int = 0):
        super().__init__(data, latent)
    def refresh(self, train, model):
        time.sleep(0.5)

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("sleepy", Sleepy)
"""


@pytest.fixture(scope="module")
def cluster():
    """A cluster whose first node does no jobs; tests add the others."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        try:
            made = Cluster(
                initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **SMALL}
            )
        except Exception as error:
            pytest.skip(f"Ray starts no cluster here: {type(error).__name__}: {error}")
        yield made
        made.shutdown()


SMALL = {"object_store_memory": 100 * 2**20}


@pytest.fixture
def nodes(cluster):
    """Two nodes of the cluster with one CPU each."""
    added = [cluster.add_node(num_cpus=1, **SMALL) for _ in range(2)]
    cluster.wait_for_nodes()
    yield added
    for node in added:
        if node in cluster.worker_nodes:
            cluster.remove_node(node)


def done(executor, jobs, limits=NONE, meanwhile=lambda: None):
    """How each of these jobs ends, in their order."""
    waiting, ended = list(enumerate(jobs)), {}
    while len(ended) < len(jobs):
        while waiting and executor.room:
            number, (work, job) = waiting.pop(0)
            executor.submit(number, work, job, limits)
        ended |= {one.number: one for one in executor.completed(0.2)}
        meanwhile()
    return [ended[number] for number in range(len(jobs))]


def test_an_address_where_nothing_is_is_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        UserError, match=f"no Ray cluster can be joined at '127.0.0.1:{port}': nothing answers"
    ):
        RayExecutor(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["nonsense", "ray://10.0.0.1:10001", "host:", "http://host:8265"])
def test_what_is_no_address_is_told(address):
    with pytest.raises(UserError, match="should be HOST:PORT, as 10.0.0.1:6379, or auto"):
        RayExecutor(address)


def test_what_answers_and_is_no_cluster_is_told(monkeypatch):
    monkeypatch.setattr("lvmbench.execution.cluster.PATIENCE", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=r"what answers there is no Ray cluster \(asked for 3 s\)"):
            RayExecutor(address)
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_job_ends_as_it_ends_and_costs_no_other(cluster, nodes):
    lines = ["os._exit(0)", "raise KeyboardInterrupt", "print('told'); ctypes.string_at(0)", "1 + 1"]
    with RayExecutor(cluster.address) as executor:
        assert executor.resources == (2, 0)
        ended = done(executor, [(ACT, line) for line in lines])
    fates = [(e.outcome.status, e.outcome.reason) for e in ended[:3]]
    assert fates == [
        (Status.KILLED, "the worker process ended by itself (exit code 0)"),
        (Status.FAILED, "KeyboardInterrupt"),
        (Status.KILLED, "the worker process was killed (signal 11, SIGSEGV)"),
    ]
    assert ended[2].log == "told"
    assert ended[3].outcome == "done"


@pytest.mark.slow
def test_limits_hold_where_a_job_is_done(cluster, nodes):
    with RayExecutor(cluster.address) as executor:
        (late,) = done(executor, [(ACT, "time.sleep(1000)")], Limits(seconds=1))
        (greedy,) = done(executor, [(ACT, "x = bytearray(2**29); time.sleep(1000)")], Limits(memory=2**28))
    assert (late.outcome.status, late.outcome.reason) == (Status.TIMEOUT, "took longer than 1 s (--timeout)")
    assert greedy.outcome.status == Status.OOM
    assert greedy.memory > 2**28


@pytest.mark.slow
def test_how_far_a_job_has_got_is_told(cluster, nodes):
    phases = []
    with RayExecutor(cluster.address) as executor:
        done(executor, [(TELL, 3)], meanwhile=lambda: phases.extend(executor.progress().values()))
    assert {news.phase for news in phases} == {"tell"}
    assert [epoch for news in phases for epoch, _ in news.epochs] == sorted(
        {epoch for news in phases for epoch, _ in news.epochs}
    )


def parent(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_job_alone(cluster, nodes, tmp_path):
    """And its process, which the job was done in, ends with it."""
    note = "open({!r}, 'w').write(f'{{os.getppid()}} {{os.getpid()}}')"
    lines = [
        f"{note.format(str(tmp_path / name))}; time.sleep({seconds})"
        for name, seconds in (("lost", 1000), ("other", 10))
    ]

    def kill():
        if (file := tmp_path / "lost").exists() and (text := file.read_text()):
            file.unlink()
            os.kill(parent(int(text.split()[0])), 9)  # the process was forked for it
            killed.append(int(text.split()[1]))

    killed = []
    with RayExecutor(cluster.address) as executor:
        lost, other = done(executor, [(ACT, line) for line in lines], meanwhile=kill)
        assert other.outcome == "done"
        assert (lost.outcome.status, lost.outcome.foreign) == (Status.KILLED, True)
        assert "was lost" in lost.outcome.reason
        (again,) = done(executor, [(PROCESS, None)])
        assert isinstance(again.outcome, int)
    for _ in range(100):
        if not os.path.exists(f"/proc/{killed[0]}"):
            break
        time.sleep(0.1)
    assert not os.path.exists(f"/proc/{killed[0]}")


@pytest.mark.slow
def test_what_no_node_has_is_refused_at_once(cluster, nodes):
    with pytest.raises(UserError, match=r"takes 1 CPU, 1 GPU, which no node has; the nodes are"):
        RayExecutor(cluster.address, device="cuda")
    with pytest.raises(UserError, match=r"1024.0 GiB, which no node has; .*2? x \(1 CPU, 0 GPU"):
        RayExecutor(cluster.address, memory=2**40)
    assert not ray.is_initialized()


@pytest.mark.slow
def test_another_version_on_a_worker_is_refused_by_name(cluster, nodes):
    for distributions, complaint in (
        (
            {"lvmbench": "9.9"},
            "lvmbench has version .*, and the suite was planned with 9.9; install the same",
        ),
        ({"lvmbench-foo": "1.0"}, "the plugin lvmbench-foo 1.0 is missing; install it there too"),
    ):
        with RayExecutor(cluster.address) as executor:
            executor.prepare(WARM_UP, Warming(PluginSelection(), frozenset(), distributions))
            with pytest.raises(UserError, match=f"on machine '.*': {complaint}"):
                done(executor, [(ACT, "raise SystemError('begun')")])
    with RayExecutor(cluster.address) as executor:
        executor.prepare(WARM_UP, Warming(PluginSelection(("/no/such.py",)), frozenset(), {}))
        with pytest.raises(UserError, match="no file '/no/such.py'"):
            done(executor, [(ACT, "raise SystemError('begun')")])


def options_of(cluster):
    return {"executor": "ray", "address": cluster.address}


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "apart"])
def test_a_suite_has_the_same_results_as_on_one_machine(cluster, nodes, tiny, shared, monkeypatch):
    """Also where the workers do not see the results folder: weights and figures of single data come back."""
    if not shared:
        monkeypatch.setattr("lvmbench.execution.distributed._Token.lie_in", lambda *arguments: None)
    evaluators = ["tightness[samples=20,repeats=5]", "informativeness"]
    here = tiny.run("here", jobs=2, evaluators=evaluators)
    there = tiny.run("there", jobs=None, evaluators=evaluators, options=options_of(cluster))
    assert (here.counts, here.evaluations) == (there.counts, there.evaluations)
    assert_alike(tiny.folder / "here", tiny.folder / "there", tolerance=0.0)
    files = [
        {
            f.relative_to(tiny.folder / out): f.read_bytes()
            for f in (tiny.folder / out / "weights").rglob("*.s*")
        }
        for out in ("here", "there")
    ]
    assert files[0] == files[1]
    assert len(files[0]) > 4
    assert not [*(tiny.folder / "there").glob(".shared*")]
    environments = [set(tiny.frame(out=out)["environment"]) for out in ("here", "there")]
    assert environments[0] == environments[1]


@pytest.mark.slow
def test_a_node_that_is_removed_in_the_middle_costs_no_run(cluster, nodes, tiny):
    """Its jobs are done again by others, and the figures are those of an undisturbed run."""
    plugin = tiny.plugin("sleepy", SLEEPY)
    priors = [f"sleepy[number={number}]" for number in range(4)]
    tiny.run("here", jobs=2, plugins=[plugin], priors=priors)

    def remove():
        while not any(news.phase == "train" for news in tiny.reporter.heard[told:]):
            time.sleep(0.05)
        cluster.remove_node(nodes[0])

    told = len(tiny.reporter.heard)
    removing = threading.Thread(target=remove)
    removing.start()
    there = tiny.run("there", jobs=None, plugins=[plugin], priors=priors, options=options_of(cluster))
    removing.join()
    assert there.counts == {"ok": 8}
    assert_alike(tiny.folder / "here", tiny.folder / "there", tolerance=1e-4)


@pytest.mark.slow
def test_the_command_says_in_one_line_what_is_wrong(cluster, nodes, cli, tiny):
    words = ("run", tiny.write(), "--out", tiny.folder / "out", "--executor", "ray")
    shown = cli(*words, "--address", cluster.address, "--device", "cuda")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("lvmbench: --executor ray: a job takes 1 CPU, 1 GPU, which no node has")
    assert shown.err.count("\n") == 1
    assert not (tiny.folder / "out").exists()


@pytest.mark.slow
def test_a_run_with_a_cluster_of_its_own_leaves_nothing_behind(tiny):
    """And nothing of Ray's is on the terminal."""
    words = ["run", str(tiny.write()), "--out", str(tiny.folder / "out"), "--executor", "ray", "--jobs", "1"]
    command = [sys.executable, "-c", "from lvmbench.cli import main; main()", *words, "--no-baselines"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 combinations to do in 1 worker process" in ended.stdout
    assert "ray" not in ended.stdout.lower()
    assert ended.stderr == ""
    assert (tiny.frame()["status"] == "ok").all()
    assert not [*(tiny.folder / "out").glob(".shared*")]
