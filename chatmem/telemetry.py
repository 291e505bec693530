"""OpenTelemetry: a span and metrics for each operation, where its API package is installed; else nothing at all.

They say which operation it was, how many messages and bytes it moved, how long it took and which error it raised: no
content, no ids, no addresses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError:
    _installed = False
else:
    _installed = True

    class _Instruments:
        """What spans and figures go to."""

        def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
            self.tracer = tracer
            self.duration = meter.create_histogram("chatmem.operation.duration", "s", "How long operations took.")
            self.messages = meter.create_counter("chatmem.messages", "{message}", "Messages written or read.")
            self.bytes = meter.create_counter("chatmem.bytes", "By", "Bytes of records written or read.")

    _instruments = _Instruments(trace.get_tracer("chatmem"), metrics.get_meter("chatmem"))

P = ParamSpec("P")
T = TypeVar("T")


class _Moved:
    """What the running operation has moved so far."""

    __slots__ = ("messages", "size")

    def __init__(self) -> None:
        self.messages = self.size = 0


_current: ContextVar[_Moved | None] = ContextVar("chatmem_operation", default=None)


def moved(records: Sequence[bytes]) -> None:
    """Count the records that the running operation writes or reads."""
    operation = _current.get()
    if operation is not None:
        operation.messages += len(records)
        operation.size += sum(map(len, records))


def observed(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make each call of a coroutine method an operation of its own; within another it is part of that."""
    if not _installed:
        return method
    name = method.__name__

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if _current.get() is not None:
            return await method(*args, **kwargs)
        with _operation(name):
            return await method(*args, **kwargs)

    return call


@contextmanager
def _operation(name: str) -> Iterator[None]:
    attributes: dict[str, Any] = {"db.system.name": "redis", "db.operation.name": name}
    moved = _Moved()
    token = _current.set(moved)
    start = time.perf_counter()
    instruments = _instruments
    with instruments.tracer.start_as_current_span(
        f"chatmem {name}",
        kind=trace.SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,  # an error's text may hold ids
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except BaseException as error:
            attributes["error.type"] = type(error).__name__
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(trace.StatusCode.ERROR)
            raise
        finally:
            _current.reset(token)
            span.set_attribute("chatmem.messages", moved.messages)
            span.set_attribute("chatmem.bytes", moved.size)
            instruments.duration.record(time.perf_counter() - start, attributes)
            instruments.messages.add(moved.messages, attributes)
            instruments.bytes.add(moved.size, attributes)
