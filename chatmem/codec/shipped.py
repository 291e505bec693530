"""The compression dictionaries that ship with chatmem, and where their files are.

Records name their dictionary by number, and every later version of chatmem must be able to read them. So a number that
was released stays in `NUMBERS`, and its file stays unchanged. `benchmarks/dictionary` builds the files.
"""

from __future__ import annotations

from pathlib import Path

NUMBERS = (1724134538,)
"""oldest first; `compression="zstd"` writes with the last one"""
_FOLDER = Path(__file__).with_name("data")


def path_of(number: int) -> Path:
    """Return the file of a dictionary."""
    return _FOLDER / f"{number}.dictionary"
