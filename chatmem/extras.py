"""What is said where a package of an extra is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chatmem.errors import UnsupportedError


@contextmanager
def needed(what: str, extra: str, package: str) -> Iterator[None]:
    """Turn a failed import of a package into an error that names the extra.

    Args:
        what: who needs it, with the verb.
        extra: the extra of chatmem that installs it.
        package: its top-level module.

    Raises:
        UnsupportedError: the package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        reason = f"{what} a package that is not installed: pip install 'chatmem-redis[{extra}]'"
        raise UnsupportedError(reason) from error
