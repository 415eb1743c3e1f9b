"""The command line: ``lvmbench COMMAND --help`` shows an example of each."""

from __future__ import annotations

import re
import sys
from typing import Any


def main() -> None:
    """Run the command line; user errors are one line on stderr, with exit code 2."""
    from typer import BadParameter

    from lvmbench.cli.app import app
    from lvmbench.errors import LvmbenchError
    from lvmbench.text import make_legible

    for stream in (sys.stdout, sys.stderr):
        make_legible(stream)
    usage_error: Any = BadParameter.__base__  # typer does not export it
    try:
        sys.exit(app(prog_name="lvmbench", standalone_mode=False))
    except usage_error as error:
        if error.format_message():  # empty where no command was given and the help was shown instead
            command = error.ctx.command_path if error.ctx else "lvmbench"
            said = error.format_message().removesuffix(".").replace("Value error, ", "")
            _complain(f"{said}; see {command} --help")
    except (LvmbenchError, OSError) as error:
        _complain(str(error))
    sys.exit(2)


def _complain(message: str) -> None:
    """Write one line, whatever the names and values in it hold."""
    from lvmbench.text import printable

    line = re.sub(r"(\w{60})\w{200,}", r"\1…", re.sub(r"\s*[\n\t]\s*", " ", message))
    print("lvmbench:", printable(line), file=sys.stderr)
