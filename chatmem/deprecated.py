"""Old names, which work for one more release, with a DeprecationWarning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_CALLER = 3  # stack frames from `warnings.warn` up to the code that uses the old name


def renamed(old: str, new: str) -> None:
    """Warn that a name is deprecated.

    Args:
        old: the name that the caller used.
        new: the name to use instead.
    """
    warnings.warn(f"{old} is deprecated: use {new}; the next release removes {old}", DeprecationWarning, _CALLER)


def renamed_argument(old: str, new: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Accept a keyword argument under its old name too.

    Args:
        old: the old name.
        new: the name of the decorated function's parameter.

    The function raises a TypeError if it gets both.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if old in kwargs:
                if new in kwargs:
                    raise TypeError(f"{function.__name__}() got both {new}= and its old name {old}=")
                renamed(f"{function.__name__}({old}=)", f"{new}=")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
