"""OpenTelemetry: a span and metrics for each operation, if OpenTelemetry's API package is installed.

They tell the operation, the number of messages and bytes, the duration and the error. They never contain messages, ids
or addresses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
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
        """The tracer and the meters that operations report to."""

        def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
            self.tracer = tracer
            self.duration = meter.create_histogram("chatmem.operation.duration", "s", "How long operations took.")
            self.messages = meter.create_counter("chatmem.messages", "{message}", "Messages written or read.")
            self.bytes = meter.create_counter("chatmem.bytes", "By", "Bytes of records written or read.")

    _CLIENT = trace.SpanKind.CLIENT
    _instruments = _Instruments(trace.get_tracer("chatmem"), metrics.get_meter("chatmem"))
    _API = (trace.__name__, metrics.__name__)

P = ParamSpec("P")
T = TypeVar("T")


class _Operation:
    """A running operation: its span, and how much it has moved so far."""

    __slots__ = ("_attributes", "_outer", "_span", "_start", "_within", "messages", "size")

    def __init__(self, name: str) -> None:
        self.messages = self.size = 0
        self._attributes: dict[str, Any] = {"db.system.name": "redis", "db.operation.name": name}
        self._within: AbstractContextManager[object] | None = None

    def __enter__(self) -> None:
        self._outer = _current.set(self)
        self._start = time.perf_counter()
        self._span = _instruments.tracer.start_span(
            f"chatmem {self._attributes['db.operation.name']}", kind=_CLIENT, attributes=self._attributes
        )
        if self._span.get_span_context().is_valid:  # else nobody traces
            self._within = trace.use_span(
                self._span,
                end_on_exit=True,
                record_exception=False,  # an error's text may hold ids
                set_status_on_exception=False,
            )
            self._within.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        try:  # noqa: SIM105 - `suppress` would cost something in every operation
            _current.reset(self._outer)
        except ValueError:  # Python ends a coroutine that nobody awaits any more in another context
            pass
        if kind is not None:
            self._attributes["error.type"] = kind.__name__
            self._span.set_attribute("error.type", kind.__name__)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.set_attribute("chatmem.messages", self.messages)
        self._span.set_attribute("chatmem.bytes", self.size)
        _instruments.duration.record(time.perf_counter() - self._start, self._attributes)
        _instruments.messages.add(self.messages, self._attributes)
        _instruments.bytes.add(self.size, self._attributes)
        if self._within is not None:
            self._within.__exit__(None, None, None)


_current: ContextVar[_Operation | None] = ContextVar("chatmem_operation", default=None)


def _is_recorded() -> bool:
    """Return whether the application has set a provider that may record spans or metrics."""
    return not (  # the API's own providers record nothing
        type(trace.get_tracer_provider()).__module__.startswith(_API)
        and type(metrics.get_meter_provider()).__module__.startswith(_API)
    )


def moved(records: Sequence[bytes]) -> None:
    """Count the records that the running operation writes or reads."""
    operation = _current.get()
    if operation is not None:
        operation.messages += len(records)
        operation.size += sum(map(len, records))


def observed(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Report each call of a coroutine method as an operation, unless it is part of another operation."""
    if not _installed:
        return method
    name = method.__name__

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if _current.get() is not None or not _is_recorded():
            return await method(*args, **kwargs)
        with _Operation(name):
            return await method(*args, **kwargs)

    return call
