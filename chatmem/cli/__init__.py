"""The command line, `chatmem`; docs/cli.md. An extra: `pip install 'chatmem-redis[cli]'`."""

import importlib.util
import sys


def main() -> None:
    """Run the command line; the console script `chatmem` calls this."""
    if not all(importlib.util.find_spec(name) for name in ("typer", "rich")):
        sys.stderr.write("chatmem's command line needs: pip install 'chatmem-redis[cli]'\n")
        sys.exit(2)
    from chatmem.cli.app import run  # noqa: PLC0415 - only here are typer and rich known to be there

    run()
