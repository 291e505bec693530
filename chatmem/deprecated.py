"""Old names that go on working for one release, with a DeprecationWarning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_CALLER = 3  # stack frames up to the code that uses the old name


def renamed(old: str, new: str) -> None:
    """Warn that a name has changed.

    Args:
        old: what the caller wrote.
        new: what to write instead.
    """
    warnings.warn(f"{old} is now called {new}; the old name goes in the next release", DeprecationWarning, _CALLER)


def renamed_argument(old: str, new: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let callers go on passing a keyword argument by its old name."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if old in kwargs:
                renamed(f"{function.__name__}({old}=)", f"{new}=")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
