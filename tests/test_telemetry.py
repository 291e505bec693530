"""OpenTelemetry: a span and figures for each operation, without content; nothing where its API is not installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from langchain_core import messages as lc
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import chatmem
import chatmem.sync
from chatmem.core import telemetry


class Told:
    """Where a test's spans and figures go: nothing of the process is set, which other tests would share.

    Attributes:
        spans: the spans so far.
        provider: what makes the spans.
    """

    def __init__(self) -> None:
        self.spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.provider, self.meters = TracerProvider(), MeterProvider([self._reader])
        self.provider.add_span_processor(SimpleSpanProcessor(self.spans))

    def metrics(self) -> Any:
        data: Any = self._reader.get_metrics_data()
        return data.resource_metrics[0].scope_metrics[0].metrics

    def close(self) -> None:
        self.provider.shutdown()
        self.meters.shutdown()


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    with closing(Told()) as told, monkeypatch.context() as patch:
        instruments = telemetry._Instruments(told.provider.get_tracer("chatmem"), told.meters.get_meter("chatmem"))
        patch.setattr(telemetry, "_instruments", instruments)
        patch.setattr(telemetry, "_is_recorded", lambda: True)
        yield told


@pytest.fixture
def spans(telling: Told) -> InMemorySpanExporter:
    return telling.spans


def told(span: ReadableSpan) -> tuple[str, Any, Any]:
    attributes = span.attributes or {}
    return span.name, attributes["chatmem.messages"], attributes.get("error.type")


async def test_an_operation_is_a_span(spans: InMemorySpanExporter, url: str, prefix: str) -> None:
    """With its name, its messages and bytes and its error; whatever an operation does within is part of it."""
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        history = memory.history("secret-session", user="secret-user")
        await history.append(lc.HumanMessage("secret text", id="secret-id"), "more")
        await history.messages()
        await history.window(messages=1, start_on=None)
        await history.replace("secret-id", "new")
        await history.fork("secret-fork")
        await memory.search("secret-user", "new")
        with pytest.raises(chatmem.ConflictError):
            await history.append("x", expected_version=99)
        await memory.forget("secret-user")
    finished = spans.get_finished_spans()
    assert [told(span) for span in finished] == [
        ("chatmem append", 2, None),
        ("chatmem messages", 2, None),
        ("chatmem window", 1, None),
        ("chatmem replace", 1, None),
        ("chatmem fork", 2, None),
        ("chatmem search", 4, None),
        ("chatmem append", 1, "ConflictError"),
        ("chatmem forget", 0, None),
    ]
    assert all((span.attributes or {})["chatmem.bytes"] for span in finished[:6])
    assert "secret" not in "".join(span.to_json() for span in finished)
    assert not any(span.events for span in finished)


def test_the_synchronous_facade(telling: Told, url: str, prefix: str) -> None:
    """The same spans, as children of the caller's own."""
    mine_ = telling.provider.get_tracer("mine").start_as_current_span("mine")
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory, mine_:
        memory.history("a").append("x")
    child, mine = telling.spans.get_finished_spans()
    assert (child.name, child.parent and child.parent.span_id) == ("chatmem append", mine.context.span_id)


def test_metrics(telling: Told, url: str, prefix: str) -> None:
    """A histogram of durations, and how many messages and bytes were moved, by operation and error."""
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
        for _ in range(3):
            memory.history("a").put(lc.AIMessage("x", id="1"))
    found = {
        metric.name: [point for point in metric.data.data_points if point.attributes["db.operation.name"] == "put"]
        for metric in telling.metrics()
    }
    assert found["chatmem.operation.duration"][0].count == 3
    assert found["chatmem.messages"][0].value == 3
    assert found["chatmem.bytes"][0].value > 60


SPANS = """
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
memory.history("a").append("recorded")
assert [span.name for span in spans.get_finished_spans()] == ["chatmem append"]
"""
METRICS = """
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
memory.history("a").append("recorded")
(scope,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
assert {metric.data.data_points[0].attributes["db.operation.name"] for metric in scope.metrics} == {"append"}
"""


@pytest.mark.parametrize("set_and_look", [SPANS, METRICS], ids=["spans", "metrics"])
def test_the_applications_provider(set_and_look: str, url: str, prefix: str) -> None:
    """What an application sets for its process, even after the first operation, is what operations report to."""
    script = (
        "import chatmem.sync\n"
        "from opentelemetry import metrics, trace\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        f"memory = chatmem.sync.connect({url!r}, prefix={prefix!r}, ttl=60)\n"
        "memory.history('a').append('before')\n"
        f"{set_and_look}"
        "memory.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_opentelemetry(url: str, prefix: str) -> None:
    """Where its API is not installed, methods are what they are, and nothing is imported."""
    script = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "import chatmem.sync\n"
        "from chatmem.history import History\n"
        "assert not hasattr(History.append, '__wrapped__')\n"
        f"with chatmem.sync.connect({url!r}, prefix={prefix!r}, ttl=60) as memory:\n"
        "    memory.history('a').append('x')\n"
        "    assert len(memory.history('a').messages()) == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
