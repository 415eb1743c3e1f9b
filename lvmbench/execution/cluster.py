"""A Ray cluster: how it is joined, what it has, and how many jobs that is enough for."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lvmbench.errors import UserError
from lvmbench.execution.gpus import ANY
from lvmbench.text import listed

GIB = 2**30
STORE = 256 * 2**20
"""Bytes of the object store of a cluster that is started here, whose workers share the results folder."""
PATIENCE = 20.0
"""Seconds within which a cluster must answer; Ray itself would wait for two minutes."""
_ASK = """import sys
try:
    from ray._raylet import GcsClient
except ImportError:
    sys.exit()
GcsClient(address=sys.argv[1])"""
KINDS = 4
"""So many kinds of nodes are named."""


class Need(NamedTuple):
    """What one job takes: CPUs, GPUs or a part of one, and bytes of memory."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0

    def __str__(self) -> str:
        return _worded(self.cpus, self.gpus, self.memory if self.memory else None)


class Node(NamedTuple):
    """What a machine of a cluster has."""

    cpus: float
    gpus: float
    memory: float

    def __str__(self) -> str:
        return _worded(self.cpus, self.gpus, self.memory)

    def places(self, need: Need) -> int:
        """How many jobs of one need it can do at once.

        >>> Node(8, 2, 64 * GIB).places(Need(1, 0.5)), Node(8, 2, 64 * GIB).places(Need(1, 0, 20 * GIB))
        (4, 3)
        """
        return int(min(has / wants for has, wants in zip(self, need, strict=True) if wants))


def _worded(cpus: float, gpus: float, memory: float | None) -> str:
    """
    >>> _worded(1.0, 0.25, 3 * GIB)
    '1 CPU, 0.25 GPU, 3.0 GiB'
    """
    return f"{cpus:g} CPU, {gpus:g} GPU" + ("" if memory is None else f", {memory / GIB:.1f} GiB")


def need_of(device: str, jobs_per_gpu: int, memory: int, nodes: Iterable[Node]) -> Need:
    """What a job takes that is done on this device; raises `UserError` for one that cannot be asked for."""
    if device not in {*ANY, "cpu"}:
        raise UserError(
            f"--device: '{device}' is a device of one machine, and --executor ray chooses among many; use "
            "auto, cpu or cuda"
        )
    some = any(node.gpus for node in nodes)
    return Need(1.0, 1 / jobs_per_gpu if device == "cuda" or (device == "auto" and some) else 0.0, memory)


def require_place(need: Need, nodes: Sequence[Node]) -> None:
    """Raise `UserError` where no node has what a job takes."""
    if any(node.places(need) for node in nodes):
        return
    kinds = [f"{count} x ({words})" for words, count in Counter(map(str, nodes)).most_common()]
    raise UserError(
        f"--executor ray: a job takes {need}, which no node has; the nodes are {listed(kinds, KINDS)}: ask "
        "for less (--memory, --device cpu, --jobs-per-gpu), or add a node"
    )


def library() -> Any:
    """Ray itself, told to report to nobody; raises `UserError` where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a `Host` hides GPUs itself
    try:
        import ray
    except ImportError:
        raise UserError("--executor ray: the package ray is missing: pip install 'lvmbench[ray]'") from None
    return ray


def join(address: str | None, cpus: int) -> bool:
    """Connect to the cluster at an address, or to one that is started here; whether it is to be left again.

    A connection that the process has is used as it is. Raises `UserError` where there is no such cluster.
    """
    ray = library()
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    logging.getLogger("ray").setLevel(logging.ERROR)
    own = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE}
    _expect(address)
    try:
        ray.init(
            address, log_to_driver=False, logging_level=logging.ERROR, **(own if address == "local" else {})
        )
    except Exception as error:
        raise UserError(_unreachable(address, " ".join(str(error).split()))) from None
    return True


def _unreachable(address: str, why: str) -> str:
    return (
        f"--address: no Ray cluster can be joined at '{address}': {why.removesuffix('.')}; start one (ray "
        "start --head), give its HOST:PORT, or leave --address out for one of this machine"
    )


def _expect(address: str) -> None:
    """Raise `UserError` where no Ray is, after which Ray itself would look for minutes."""
    if address in {"auto", "local"}:
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not (host and port.isdecimal()):
        raise UserError(f"--address: '{address}' should be HOST:PORT, as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE / 4).close()
    except (OSError, OverflowError) as error:
        raise UserError(_unreachable(address, f"nothing answers ({error})")) from None
    if why := _asked(address):
        raise UserError(_unreachable(address, why))


def _asked(address: str) -> str:
    """Why what answers at an address is no cluster to join, if it is none: asked in a process that can be
    ended.
    """
    command = [sys.executable, "-c", _ASK, address]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, errors="replace", check=False
        )
    except subprocess.TimeoutExpired:
        return f"what answers there is no Ray cluster (asked for {PATIENCE:g} s)"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return "" if done.returncode == 0 else lines[-1] if lines else f"exit code {done.returncode}"


def nodes() -> dict[str, Node]:
    """The nodes that are alive, by their identifiers."""
    alive = {node["NodeID"]: node["Resources"] for node in library().nodes() if node["Alive"]}
    return {
        name: Node(has.get("CPU", 0.0), has.get("GPU", 0.0), has.get("memory", 0.0))
        for name, has in alive.items()
    }
