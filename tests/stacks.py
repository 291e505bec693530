"""LangChain's own middleware, each with a conversation that it has something to do in, offline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from langchain.agents import middleware as lcm
from langchain_core import messages as lc
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from pydantic import Field

from tests.scripted import Scripted, asking

INPUTS = ("Lima? I am ann@example.com", "Thanks, bob@example.com", "And Rome?")
_FINE = lc.AIMessage(
    "Fine, ann@example.com.", usage_metadata={"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}
)
_HALF = lc.AIMessage(
    "",
    tool_calls=[{"name": "weather", "args": {"city": "Lima"}, "id": "whole"}],
    invalid_tool_calls=[{"name": "weather", "args": "{city", "id": "torn", "error": "no JSON"}],
)
_PLANS = lc.AIMessage(
    "",
    tool_calls=[
        {"name": "write_todos", "args": {"todos": [{"content": "look", "status": "pending"}]}, "id": i} for i in "ab"
    ],
)


@tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    if city == "Atlantis":
        raise LookupError("no such city")
    return f"fine in {city}, says carl@example.com"


def talk(*first: Any) -> list[Any]:
    """Return what a model says in three runs; in the first, these before its answer."""
    return [deepcopy(one) for one in (*first, _FINE, lc.AIMessage("You are welcome."), asking("Rome"), _FINE)]


@dataclass
class Stack:
    """A middleware, and what the model says."""

    name: str
    make: Callable[[Any], Sequence[Any]]
    """what returns the middleware, given the model"""
    script: Callable[[], list[Any]] = lambda: talk(asking("Lima", "Rome"))
    decisions: list[Any] = field(default_factory=list)
    """what a person decides where a run waits for that"""
    new: bool = False
    """whether LangChain 1.2 does not have it, or ends such runs with what it cannot go on from"""


class _Choosing(Scripted):
    """Chooses all tools, for a middleware that asks a model which tools another may use."""

    script: list[Any] = Field(default_factory=list)

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        return RunnableLambda(lambda given: {"tools": ["weather"]})


def _decider(answers: dict[str, Any]) -> Any:
    from langchain_core.decisions import BaseDecisionModel, ClassifierResponse

    class Decider(BaseDecisionModel):
        model: str = "offline"

        @property
        def _provider(self) -> str:
            return "offline"

        def _classify(self, state: Any, questions: Any) -> ClassifierResponse:
            return ClassifierResponse.model_validate({"model": self.model, "answers": answers})

    return Decider()


def _approval(*allowed: Any) -> list[Any]:
    return [lcm.HumanInTheLoopMiddleware(interrupt_on={"weather": {"allowed_decisions": [*allowed]}})]


def _pii(strategy: Any, model: Any) -> list[Any]:
    everywhere: Any = {"apply_to_input": True, "apply_to_output": True, "apply_to_tool_results": True}
    return [lcm.PIIMiddleware("email", strategy=strategy, **everywhere)]


def _edit(city: str) -> dict[str, Any]:
    return {"type": "edit", "edited_action": {"name": "weather", "args": {"city": city}}}


_ONE = {"type": "choice", "choice": "one", "probabilities": {"one": 1.0}, "confidence": 1.0}
_APPROVE: list[Any] = [{"type": "approve"}]

STACKS = [
    Stack("nothing", lambda model: []),
    Stack("a malformed call", lambda model: [], lambda: talk(_HALF), new=True),
    *(Stack(f"PII, {how}", partial(_pii, how)) for how in ("redact", "mask", "hash")),
    Stack("approved", lambda model: _approval("approve"), decisions=[_APPROVE * 2, _APPROVE]),
    Stack("edited", lambda model: _approval("edit"), decisions=[[_edit("Oslo"), _edit("Bern")], [_edit("Bonn")]]),
    Stack(
        "rejected",
        lambda model: _approval("approve", "reject"),
        decisions=[[{"type": "reject", "message": "no"}, *_APPROVE], [{"type": "reject"}]],
    ),
    Stack("model calls are limited", lambda model: [lcm.ModelCallLimitMiddleware(run_limit=1)]),
    Stack("tool calls are limited", lambda model: [lcm.ToolCallLimitMiddleware(run_limit=1)]),
    Stack(
        "tool calls end the run",
        lambda model: [lcm.ToolCallLimitMiddleware(run_limit=1, exit_behavior="end")],
        new=True,
    ),
    Stack(
        "another model",
        lambda model: [lcm.ModelFallbackMiddleware(Scripted(script=[lc.AIMessage("Another.")]))],
        lambda: talk(RuntimeError("overloaded")),
    ),
    Stack(
        "the model again",
        lambda model: [lcm.ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)],
        lambda: talk(RuntimeError("overloaded"), asking("Lima")),
    ),
    Stack(
        "the tool again",
        lambda model: [lcm.ToolRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)],
        lambda: talk(asking("Atlantis", "Lima")),
    ),
    Stack(
        "old results are cleared",
        lambda model: [lcm.ContextEditingMiddleware(edits=[lcm.ClearToolUsesEdit(trigger=1, keep=1)])],
    ),
    Stack(
        "todos",
        lambda model: [lcm.TodoListMiddleware()],
        lambda: talk(lc.AIMessage("", tool_calls=_PLANS.tool_calls[:1])),
    ),
    Stack("two lists of todos at once", lambda model: [lcm.TodoListMiddleware()], lambda: talk(_PLANS)),
    Stack("tools are selected", lambda model: [lcm.LLMToolSelectorMiddleware(model=_Choosing())]),
    Stack("tools are made up", lambda model: [lcm.LLMToolEmulator(model=Scripted(script=[lc.AIMessage("Rain.")] * 9))]),
    Stack("files are searched", lambda model: [lcm.FilesystemFileSearchMiddleware(root_path="/tmp")]),
    Stack(
        "errors of tools are told",
        lambda model: [lcm.ToolErrorMiddleware(lambda error, request: "failed")],
        lambda: talk(asking("Atlantis", "Lima")),
        new=True,
    ),
    Stack("a shell", lambda model: [lcm.ShellToolMiddleware(execution_policy=lcm.HostExecutionPolicy())], new=True),
    Stack(
        "models are chosen",
        lambda model: [
            lcm.ModelRouterMiddleware(
                choices={"one": lcm.ModelChoice(model, "all")},
                instructions="Choose.",
                classifier=_decider({"model_route": _ONE}),
            )
        ],
        new=True,
    ),
    Stack("refusals are errors", lambda model: [lcm.ModelRefusalMiddleware()], new=True),
    Stack(
        "risky calls are blocked",
        lambda model: [
            lcm.AutoModeMiddleware(tools=["weather"], classifier=_decider({"is_risky": {"type": "noul", "noul": 0.9}}))
        ],
        new=True,
    ),
]
