"""Checks lvmbench on a GPU, then measures it there, within some minutes.

``python benchmarks/gpu.py --out gpu.md`` prints tables as they come and writes them as markdown after each.
First it holds training, packs, evaluators and stored weights on the device against the CPU, then it measures
steps, packs of seeds, other methods, precision and evaluation, beside a loop in bare PyTorch. What fails is a
row with its reason, and its traceback stands at the end; the rest goes on. ``--device cpu --quick`` tries it
all, small, where there is no GPU.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from _gpu import checks, speed
from _gpu.pieces import catalogue
from _gpu.sections import Item, Section, Setting, Table, collected

from lvmbench import __version__

SECTIONS = [*checks.SECTIONS, *speed.SECTIONS, *checks.LATER]


def machine(setting: Setting) -> Iterator[Item]:
    """What it runs on; asked first, and in a process of its own."""
    yield "lvmbench", lambda: [__version__]
    yield "python, torch", lambda: [f"{platform.python_version()}, {torch.__version__}"]
    yield "matrix products in float32", lambda: [torch.get_float32_matmul_precision()]
    yield "processor", lambda: [f"{_processor()}, {torch.get_num_threads()} threads"]
    if setting.cuda:
        yield "card", lambda: [_card(setting.device)]
        yield "CUDA, cuDNN", lambda: [f"{torch.version.cuda}, {torch.backends.cudnn.version()}"]
        yield "driver", lambda: [_driver()]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def _card(device: torch.device) -> str:
    torch.zeros(1, device=device)
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _driver() -> str:
    file = Path("/proc/driver/nvidia/version")
    if file.is_file():
        return file.read_text(encoding="utf-8").splitlines()[0].removeprefix("NVRM version: ").strip()
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


MACHINE = Section("The machine", "", ["what", "is"], machine)


def written(tables: list[Table], out: Path | None) -> str:
    """The whole report; written to a file where one is given."""
    problems = [problem for table in tables for problem in table.problems]
    end = ["## Tracebacks", *(f"```text\n{problem}```" for problem in problems)] if problems else []
    text = "\n\n".join(["# lvmbench on a GPU", *(table.markdown for table in tables), *end]) + "\n"
    if out is not None:
        out.write_text(text, encoding="utf-8")
    return text


def start_method(setting: Setting) -> tuple[str, Table]:
    """How processes are started: by fork, which spares imports, unless the device cannot be used after it."""
    for method in ("fork", "spawn") if "fork" in multiprocessing.get_all_start_methods() else ("spawn",):
        table = collected(MACHINE, setting, method)
        if len(table.rows) > 3 and not any(
            "card" in problem.partition("\n")[0] for problem in table.problems
        ):
            break
    return method, table


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="a file for the tables, as markdown")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which nothing new begins")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rows")
    parser.add_argument("--only", default="", help="numbers of sections, as 1,4,5")
    return parser.parse_args()


def main() -> None:
    given, start = parsed(), time.time()
    catalogue()
    setting = Setting(torch.device(given.device), given.quick, start + 60 * given.minutes)
    method, first = start_method(setting)
    tables = [first]
    chosen = [s for s in SECTIONS if not given.only or s.title.partition(".")[0] in given.only.split(",")]
    for section in chosen:
        print(f"\n{section.title}  ({time.time() - start:.0f} s so far)", flush=True)
        until = start + 60 * given.minutes * section.until
        tables.append(collected(section, replace(setting, deadline=until), method))
        written(tables, given.out)
    print("\n" + written(tables, given.out), flush=True)
    print(f"{time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
