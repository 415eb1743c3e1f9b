"""The command line: ``lvmbench COMMAND --help`` shows an example of each."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; user errors are one line and exit with 2."""
    from lvmbench.cli.app import app
    from lvmbench.errors import LvmbenchError

    try:
        app()
    except LvmbenchError as error:
        print(f"lvmbench: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
