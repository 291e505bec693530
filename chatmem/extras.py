"""The error for a package that is missing because its extra is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chatmem.errors import UnsupportedError


@contextmanager
def needed(what: str, extra: str, package: str) -> Iterator[None]:
    """Turn the failed import of a package into an error that names the extra to install.

    A module that is missing inside an installed package raises its own ModuleNotFoundError.

    Args:
        what: the beginning of the message, up to "a package", such as "encryption needs".
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
