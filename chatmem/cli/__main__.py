"""Run the command line with `python -m chatmem.cli`."""

from chatmem.cli import main

main()
