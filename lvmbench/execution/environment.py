"""What a result was made with: versions, source revision, hardware, threads."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lvmbench import __version__
from lvmbench.execution.gpus import gpus_here

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "pluggy",
    "pydantic",
    "sqlalchemy",
    "safetensors",
    "zuko",
)


def environment(plugins: dict[str, str] | None = None) -> dict[str, Any]:
    """A description of this machine and its software.

    ``plugins`` are the distributions of the components, with versions.
    """
    return {
        "lvmbench": __version__,
        "revision": _revision(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "plugins": dict(sorted((plugins or {}).items())),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
        "cuda": _cuda(),
        "threads_per_worker": 1,
    }


def identifier(content: dict[str, Any]) -> str:
    """A short name for an environment, from its content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _cuda() -> dict[str, Any]:
    """The version that torch is built for, and the names of the GPUs that it finds; where there are none,
    it is not imported to say so.
    """
    if not gpus_here(os.environ):
        return {"version": None, "devices": []}
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"version": torch.version.cuda, "devices": devices}


@functools.cache  # of what this process has imported, whatever becomes of the files
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@functools.cache
def _revision() -> str | None:
    """The git revision of the source, marked where it has changes; ``None`` for an installed copy."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        describe = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(describe, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
