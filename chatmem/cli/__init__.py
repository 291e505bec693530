"""The command line, `chatmem`; see docs/cli.md. It needs `pip install 'chatmem-redis[cli]'`."""

import importlib.util
import sys


def main() -> None:
    """Run the command line; the console script `chatmem` calls this."""
    if not all(importlib.util.find_spec(name) for name in ("prompt_toolkit", "rich", "typer")):
        sys.stderr.write("chatmem's command line needs: pip install 'chatmem-redis[cli]'\n")
        sys.exit(2)
    try:
        from chatmem.cli.app import run  # noqa: PLC0415 - its packages are known to be installed here only

        run()
    except KeyboardInterrupt:  # while modules are imported
        sys.exit(130)
