"""The error for a package that is not installed because it belongs to an extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chatmem.errors import UnsupportedError


@contextmanager
def needed(what: str, extra: str, package: str) -> Iterator[None]:
    """Turn a failed import into an error that names the extra to install.

    Args:
        what: the subject and verb of the error's sentence, such as "Upstash needs".
        extra: the extra of chatmem-redis that installs the package.
        package: the package's top-level module.

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
