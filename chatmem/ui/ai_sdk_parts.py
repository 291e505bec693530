"""The parts of the AI SDK's `UIMessage` for LangChain messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from chatmem.ui.calls import Ids
from chatmem.ui.pieces import File, Reasoning, Result, Text, call_id_of, pieces_of, text_of
from chatmem.ui.values import shown, shown_text

KEPT = "ai_sdk"
"""The key in `additional_kwargs` for what only the AI SDK knows: its own parts, and what tool parts have besides."""
Part = dict[str, Any]
_FINAL = ("output-available", "output-error", "output-denied")


def parts_of_text(message: BaseMessage) -> list[Part]:
    """Return the parts of a message of a user or of the system; there is at least one."""
    parts = [part for piece in pieces_of(message) for part in shown_piece(piece, {})]
    return _with_own(message, [part for part in parts if part["type"] in ("text", "file")]) or [_text_part("")]


def parts_of_answer(messages: Sequence[BaseMessage]) -> list[Part]:
    """Return the parts of one answer: messages of a model, and the results of the tools that it called."""
    parts: list[Part] = []
    results = {id(one): one for one in messages if isinstance(one, Result)}
    ids = Ids()
    for message in messages:
        if isinstance(message, AIMessage):
            parts += [{"type": "step-start"}, *_parts_of_step(message, results, ids)]
    return parts + [orphan_part(result) | {"toolCallId": ids.called(call_id_of(result))} for result in results.values()]


def _parts_of_step(message: AIMessage, results: dict[int, Result], ids: Ids) -> list[Part]:
    """Return the parts of a message, and of the first result of each of its calls, which is taken off the others."""
    parts = [part for piece in pieces_of(message) for part in shown_piece(piece, {"state": "done"})]
    for calls, part_of in ((message.tool_calls, tool_part), (message.invalid_tool_calls, invalid_part)):
        for call in calls:
            part = part_of(call, _take_result(call["id"] or "", results))
            parts.append(part | {"toolCallId": ids.called(call["id"])})
    return _with_own(message, parts)


def _take_result(call_id: str, results: dict[int, Result]) -> Result | None:
    for key, result in results.items():
        if isinstance(result, ToolMessage) and result.tool_call_id == call_id:
            return results.pop(key)
    return None


def own_of(message: BaseMessage) -> dict[str, Any]:
    """Return what only the AI SDK knows of a message."""
    own = message.additional_kwargs.get(KEPT)
    return own if isinstance(own, dict) else {}


def _with_own(message: BaseMessage, parts: list[Part]) -> list[Part]:
    own = own_of(message)
    calls, others = own.get("calls"), own.get("parts")
    if isinstance(calls, dict):
        parts = [_with_beside(part, calls.get(part.get("toolCallId"))) for part in parts]
    for place in others if isinstance(others, list) else ():
        match place:
            case [int(index), {"type": str()} as part]:
                parts.insert(index, shown(part))
    return parts


def _with_beside(part: Part, beside: Any) -> Part:
    """Return a tool's part with what only the AI SDK knows of the call, such as whether a user approved it."""
    if not isinstance(beside, dict):
        return part
    part = part | shown(beside)
    approval = part.get("approval")
    approved = approval.get("approved") if isinstance(approval, dict) else None
    if approval is not None and not is_final(part):
        part["state"] = "approval-requested" if approved is None else "approval-responded"
    elif approved is False:
        part = {key: value for key, value in part.items() if key not in ("output", "errorText")}
        part["state"] = "output-denied"
    return part


def shown_piece(piece: Text | Reasoning | File, state: dict[str, str]) -> Iterable[Part]:
    """Yield the part of a piece, and those of the sources that it cites."""
    extras = shown(piece.extras or {})
    if isinstance(piece, Text):
        yield _text_part(piece.text) | state | extras
        for source in piece.sources:
            yield {"type": "source-url", "sourceId": shown_text(source["url"])} | shown(source)
    elif isinstance(piece, Reasoning):
        yield {"type": "reasoning", "text": shown_text(piece.text)} | state | extras
    else:
        name = {} if piece.name is None else {"filename": shown_text(piece.name)}
        yield {"type": "file", "mediaType": shown_text(piece.mime_type), **name, "url": shown_text(piece.url)} | extras


def _text_part(text: str) -> Part:
    return {"type": "text", "text": shown_text(text)}


def tool_part(call: Mapping[str, Any], result: Result | None) -> Part:
    """Return the part of a call with its result, if there is one."""
    part = {"type": f"tool-{shown_text(call['name'])}", "toolCallId": shown_text(call["id"] or "")}
    return part | {"state": "input-available", "input": shown(call["args"])} | outcome(result)


def invalid_part(call: Mapping[str, Any], result: Result | None) -> Part:
    """Return the part of a call whose arguments are no JSON."""
    error = text_of(result) if result is not None else call.get("error")
    return {
        "type": f"tool-{shown_text(call['name'] or '')}",
        "toolCallId": shown_text(call["id"] or ""),
        "state": "output-error",
        "input": shown_text(call["args"] or ""),
        "errorText": shown_text(error or "The arguments of the call are not valid."),
    }


def orphan_part(result: Result) -> Part:
    """Return the part of a result whose call is not known."""
    part = {"type": f"tool-{shown_text(result.name or 'unknown')}", "toolCallId": call_id_of(result)}
    return part | {"state": "input-available", "input": {}} | outcome(result)


def outcome(result: Result | None) -> Part:
    """Return what a result adds to the part of its call."""
    if result is None:
        return {}
    if isinstance(result, ToolMessage) and result.status == "error":
        return {"state": "output-error", "errorText": shown_text(text_of(result))}
    return {"state": "output-available", "output": shown(own_of(result).get("output", result.content))}


def is_final(part: Part) -> bool:
    """Return whether a tool's part has its result."""
    return part.get("state") in _FINAL
