"""What each old class stores for the same two messages, to the byte."""

from __future__ import annotations

from typing import Any

HUMAN: dict[str, Any] = {"type": "human", "data": {"content": "naïve \U0001f600", "id": "h1"}}
AI: dict[str, Any] = {
    "type": "ai",
    "data": {
        "content": "",
        "id": "a1",
        "tool_calls": [{"name": "f", "args": {"city": "Zürich"}, "id": "c1", "type": "tool_call"}],
        "usage_metadata": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    },
}

CORE_1 = [
    r'{"type": "human", "data": {"content": "na\u00efve \ud83d\ude00", "additional_kwargs": {}, '
    r'"response_metadata": {}, "type": "human", "name": null, "id": "h1"}}',
    r'{"type": "ai", "data": {"content": "", "additional_kwargs": {}, "response_metadata": {}, "type": "ai", '
    r'"name": null, "id": "a1", '
    r'"tool_calls": [{"name": "f", "args": {"city": "Z\u00fcrich"}, "id": "c1", "type": "tool_call"}], '
    r'"invalid_tool_calls": [], "usage_metadata": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}}',
]
"""langchain-core 1.x."""
CORE_0 = [element.replace('"id": "h1"', '"id": "h1", "example": false') for element in CORE_1]
CORE_0[1] = CORE_0[1].replace('"id": "a1"', '"id": "a1", "example": false')
"""langchain-core 0.3 has one field more."""
JS = [
    '{"type":"human","data":{"content":"naïve \U0001f600","id":"h1","additional_kwargs":{},"response_metadata":{}}}',
    '{"type":"ai","data":{"content":"","id":"a1",'
    '"tool_calls":[{"name":"f","args":{"city":"Zürich"},"id":"c1","type":"tool_call"}],'
    '"usage_metadata":{"input_tokens":1,"output_tokens":2,"total_tokens":3},'
    '"invalid_tool_calls":[],"additional_kwargs":{},"response_metadata":{}}}',
]
"""LangChain JS keeps the fields that the message was made with, in their order, and escapes nothing."""
