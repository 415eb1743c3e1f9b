"""Sample values for options that have no default."""

from __future__ import annotations

import atexit
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from lvmbench.checks.options import required


def sample_options(component: type) -> dict[str, Any]:
    """A value for each required option that there is one for: ``path`` is a small .csv of numbers."""
    return {"path": _table()} if "path" in required(component) else {}


@cache
def _table() -> str:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = Path(folder.name, "table.csv")
    rows = (f"{i / 7:.3f},{(i * 5 % 11) / 3:.3f},{-i / 5:.3f}" for i in range(60))
    path.write_text("a,b,c\n" + "\n".join(rows) + "\n")
    return str(path)
