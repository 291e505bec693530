"""What a message's content shows: text, reasoning and files, in whichever provider's blocks; and the way back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from chatmem.ui.values import shown_text

DATA_URL = re.compile(r"data:([^;,]*);base64,(.*)", re.DOTALL)
"""A data URL in base64: its type, and the data."""
_SHOWN_URL = re.compile(r"(https?|data):", re.IGNORECASE)
_MEDIA = ("image", "audio", "video")
_PLAIN = {"refusal": "refusal", "text-plain": "text"}
_UNKNOWN = "application/octet-stream"
_ROLES = {"assistant": "assistant", "ai": "assistant", "system": "system", "developer": "developer"}


class Text(NamedTuple):
    """A text, with the sources that it cites and what a front end keeps beside it."""

    text: str
    sources: tuple[dict[str, Any], ...] = ()
    extras: dict[str, Any] | None = None


class Reasoning(NamedTuple):
    """What a model thought."""

    text: str
    extras: dict[str, Any] | None = None


class File(NamedTuple):
    """An image, a recording or another file."""

    url: str
    """where it is; or the file itself, as a data URL"""
    mime_type: str
    """such as "image/png"; "image/*" if only that is known"""
    name: str | None = None
    extras: dict[str, Any] | None = None


Piece = Text | Reasoning | File
Result = ToolMessage | FunctionMessage


def role_of(message: BaseMessage) -> str:
    """Return who speaks: "user", "assistant", "system" or "developer". Other roles of a `ChatMessage` are "user"."""
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, SystemMessage):
        return "developer" if message.additional_kwargs.get("__openai_role__") == "developer" else "system"
    return _ROLES.get(message.role, "user") if isinstance(message, ChatMessage) else "assistant"


def pieces_of(message: BaseMessage) -> list[Piece]:
    """Return what a message's content shows. Blocks that nobody knows, and tool calls, show nothing."""
    if isinstance(message.content, str):
        pieces: list[Piece] = [Text(message.content)] if message.content else []
    else:
        pieces = [piece for block in message.content for piece in shown_in(block)]
    thoughts = message.additional_kwargs.get("reasoning_content")  # where DeepSeek's and others' models keep them
    if isinstance(message, AIMessage) and isinstance(thoughts, str) and thoughts:
        return pieces if any(isinstance(piece, Reasoning) for piece in pieces) else [Reasoning(thoughts), *pieces]
    return pieces


def text_of(message: BaseMessage) -> str:
    """Return the text that a message's content shows."""
    return "".join(piece.text for piece in pieces_of(message) if isinstance(piece, Text))


def call_id_of(result: Result) -> str:
    """Return the id of the call that a result is of; results of functions have none."""
    return shown_text(result.tool_call_id if isinstance(result, ToolMessage) else result.id or result.name or "")


def shown_in(block: Any) -> Iterator[Piece]:
    """Yield what a block of content shows: one piece, or none."""
    if isinstance(block, str):
        yield Text(block)
    elif isinstance(block, dict):
        kind, extras = block.get("type"), block.get("extras")
        kept = extras.get("ui") if isinstance(extras, dict) else None
        if kind == "text" and isinstance(said := block.get("text", ""), str):
            sources = tuple(_sources(block.get("annotations")))
            if sources or "text" in block:
                yield Text(said, sources, kept)
        elif kind in ("refusal", "text-plain") and isinstance(said := block.get(_PLAIN[kind]), str):
            yield Text(said)
        elif thought := _thought(block):
            yield Reasoning(thought, kept)
        elif file := _file(block):
            yield file._replace(extras=kept)


def _sources(annotations: Any) -> Iterator[dict[str, Any]]:
    for one in annotations if isinstance(annotations, list) else ():
        if isinstance(one, dict) and isinstance(one.get("url"), str):
            yield {name: one[name] for name in ("url", "title") if isinstance(one.get(name), str)}


def _thought(block: dict[str, Any]) -> str:
    match block:
        case {"type": "reasoning", "reasoning": str(text)} | {"type": "thinking", "thinking": str(text)}:
            return text
        case {"type": "reasoning_content", "reasoning_content": {"text": str(text)}}:  # Amazon Bedrock's
            return text
        case {"type": "reasoning", "summary": list(summary)}:  # OpenAI's
            return "\n\n".join(one["text"] for one in summary if isinstance(one, dict) and _string(one.get("text")))
    return ""


def _file(block: dict[str, Any]) -> File | None:
    match block:
        case {"type": "image_url", "image_url": {"url": url} | url}:  # OpenAI's three
            return file_at(url, "image/*")
        case {"type": "input_audio", "input_audio": {"data": data, "format": form}}:
            return _inline(data, f"audio/{form}")
        case {"type": "file", "file": {"file_data": url, **file}}:
            made = file_at(url, _UNKNOWN)
            return made and made._replace(name=_string(file.get("filename")))
        case {"type": "image" | "document", "source": dict(source)}:  # Anthropic's
            return _standard(block["type"], source)
        case {"type": "image" | "audio" | "video" | "file" as kind}:
            return _standard(kind, block)
    return None


def _standard(kind: str, block: dict[str, Any]) -> File | None:
    """Return the file of one of LangChain's standard blocks, of whichever version, or of Anthropic's source."""
    mime_type = _string(block.get("mime_type")) or _string(block.get("media_type"))
    extras = block.get("extras")
    name = block.get("filename") or (extras.get("filename") if isinstance(extras, dict) else None)
    made = _inline(block.get("base64") or block.get("data"), mime_type) if mime_type else None
    made = made or file_at(block.get("url"), mime_type or (f"{kind}/*" if kind in _MEDIA else _UNKNOWN))
    return made and made._replace(name=_string(name))


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _inline(data: Any, mime_type: str) -> File | None:
    return File(f"data:{mime_type};base64,{data}", mime_type) if isinstance(data, str) else None


def file_at(url: Any, mime_type: str) -> File | None:
    """Return the file at a URL, or None if a page cannot show such a URL.

    Args:
        url: a URL. The type that a data URL names goes before `mime_type`.
        mime_type: the type.
    """
    if not isinstance(url, str) or not is_shown_url(url):
        return None
    match = DATA_URL.fullmatch(url)
    return File(url, (match and match[1]) or mime_type)


def is_shown_url(url: str) -> bool:
    """Return whether a URL may be given to a page: those of other schemes could run code or read local files."""
    return _SHOWN_URL.match(url) is not None


def content_of(pieces: Sequence[Piece]) -> str | list[str | dict[Any, Any]]:
    """Return the content that shows these pieces: a string for one text, otherwise LangChain's standard blocks."""
    if not pieces:
        return ""
    if len(pieces) == 1 and isinstance(pieces[0], Text) and pieces[0].extras is None:
        return pieces[0].text
    return [_block(piece) for piece in pieces]


def _block(piece: Piece) -> dict[Any, Any]:
    extras: dict[str, Any] = {} if piece.extras is None else {"ui": piece.extras}
    block: dict[Any, Any]
    if isinstance(piece, Text):
        block = {"type": "text", "text": piece.text}
    elif isinstance(piece, Reasoning):
        block = {"type": "reasoning", "reasoning": piece.text}
    else:
        kind = piece.mime_type.partition("/")[0]
        block = {"type": kind if kind in _MEDIA else "file"}
        if match := DATA_URL.fullmatch(piece.url):
            block |= {"base64": match[2], "mime_type": match[1] or piece.mime_type}
        else:
            block |= {"url": piece.url} | ({} if piece.mime_type.endswith("/*") else {"mime_type": piece.mime_type})
        if piece.name is not None:
            extras["filename"] = piece.name
    return block | ({"extras": extras} if extras else {})
