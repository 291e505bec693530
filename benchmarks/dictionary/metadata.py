"""What the model providers' LangChain packages put beside an answer's text: fields of an AIMessage, by provider."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def token(draw: random.Random, prefix: str, length: int = 24) -> str:
    """Return an id as providers make them."""
    return prefix + "".join(draw.choices(_LETTERS, k=length))


def _usage(draw: random.Random, **details: dict[str, int]) -> Fields:
    read, written = draw.randrange(20, 9000), draw.randrange(5, 900)
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written, **details}


def openai(draw: random.Random, calls: list[Fields]) -> Fields:
    """Chat completions of OpenAI."""
    usage = _usage(
        draw,
        input_token_details={"audio": 0, "cache_read": draw.choice([0, 1024, 2048])},
        output_token_details={"audio": 0, "reasoning": draw.choice([0, 0, 64, 192])},
    )
    metadata = {
        "token_usage": {
            "completion_tokens": usage["output_tokens"],
            "prompt_tokens": usage["input_tokens"],
            "total_tokens": usage["total_tokens"],
            "completion_tokens_details": {
                "accepted_prediction_tokens": 0,
                "audio_tokens": 0,
                "reasoning_tokens": usage["output_token_details"]["reasoning"],
                "rejected_prediction_tokens": 0,
            },
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": usage["input_token_details"]["cache_read"]},
        },
        "model_provider": "openai",
        "model_name": draw.choice(["gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "gpt-4.1-2025-04-14", "gpt-5-mini"]),
        "system_fingerprint": "fp_" + draw.randbytes(5).hex(),
        "id": token(draw, "chatcmpl-", 29),
        "service_tier": "default",
        "finish_reason": "tool_calls" if calls else "stop",
        "logprobs": None,
    }
    return {"additional_kwargs": {"refusal": None}, "response_metadata": metadata, "usage_metadata": usage}


def responses(draw: random.Random, calls: list[Fields]) -> Fields:
    """The responses API of OpenAI, whose content is a list of blocks."""
    metadata = {
        "id": "resp_" + draw.randbytes(25).hex(),
        "created_at": float(draw.randrange(1740000000, 1790000000)),
        "metadata": {},
        "model": draw.choice(["gpt-5-2025-08-07", "gpt-5-mini-2025-08-07", "gpt-4.1-2025-04-14"]),
        "object": "response",
        "service_tier": "default",
        "status": "completed",
        "model_provider": "openai",
        "model_name": "gpt-5-2025-08-07",
    }
    reasoning = {"id": "rs_" + draw.randbytes(25).hex(), "summary": [], "type": "reasoning"}
    text = {"type": "text", "text": "", "annotations": [], "id": "msg_" + draw.randbytes(25).hex()}
    made = [
        {
            "type": "function_call",
            "name": call["name"],
            "arguments": "{}",
            "call_id": call["id"],
            "id": "fc_" + draw.randbytes(25).hex(),
            "status": "completed",
        }
        for call in calls
    ]
    usage = _usage(draw, input_token_details={"cache_read": 0}, output_token_details={"reasoning": 128})
    return {"content": [reasoning, text, *made], "response_metadata": metadata, "usage_metadata": usage}


def anthropic(draw: random.Random, calls: list[Fields]) -> Fields:
    """Messages of Anthropic, with blocks if there are calls or thoughts."""
    usage = _usage(
        draw,
        input_token_details={
            "cache_creation": 0,
            "cache_read": draw.choice([0, 4096]),
            "ephemeral_5m_input_tokens": 0,
            "ephemeral_1h_input_tokens": 0,
        },
    )
    model = draw.choice(["claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001", "claude-opus-4-1-20250805"])
    metadata = {
        "id": token(draw, "msg_01", 22),
        "model": model,
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {
            "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0},
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage["input_token_details"]["cache_read"],
            "input_tokens": usage["input_tokens"],
            "output_tokens": usage["output_tokens"],
            "server_tool_use": None,
            "service_tier": "standard",
        },
        "model_name": model,
        "model_provider": "anthropic",
    }
    fields: Fields = {"response_metadata": metadata, "usage_metadata": usage}
    if calls:
        made = [{"id": one["id"], "input": one["args"], "name": one["name"], "type": "tool_use"} for one in calls]
        fields["content"] = [{"text": "", "type": "text"}, *made]
    elif draw.random() < 0.3:
        thought = {"signature": token(draw, "Eq", 80), "thinking": "The user wants ", "type": "thinking"}
        fields["content"] = [thought, {"text": "", "type": "text"}]
    return fields


def gemini(draw: random.Random, calls: list[Fields]) -> Fields:
    """Gemini, by langchain-google-genai."""
    metadata = {
        "prompt_feedback": {"block_reason": 0, "safety_ratings": []},
        "finish_reason": "STOP",
        "model_name": draw.choice(["gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash"]),
        "safety_ratings": [],
        "grounding_metadata": {},
        "model_provider": "google_genai",
    }
    usage = _usage(draw, input_token_details={"cache_read": 0}, output_token_details={"reasoning": 211})
    made = {"function_call": {"name": calls[0]["name"], "arguments": "{}"}} if calls else {}
    return {"additional_kwargs": made, "response_metadata": metadata, "usage_metadata": usage}


def bedrock(draw: random.Random, calls: list[Fields]) -> Fields:
    """Bedrock's Converse API."""
    request = "-".join(draw.randbytes(size).hex() for size in (4, 2, 2, 2, 6))
    headers = {
        "date": "Mon, 10 Mar 2025 09:00:00 GMT",
        "content-type": "application/json",
        "content-length": str(draw.randrange(200, 3000)),
        "connection": "keep-alive",
        "x-amzn-requestid": request,
    }
    metadata = {
        "ResponseMetadata": {
            "RequestId": request,
            "HTTPStatusCode": 200,
            "HTTPHeaders": headers,
            "RetryAttempts": 0,
        },
        "stopReason": "tool_use" if calls else "end_turn",
        "metrics": {"latencyMs": [draw.randrange(300, 5000)]},
        "model_provider": "bedrock_converse",
        "model_name": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    }
    return {"response_metadata": metadata, "usage_metadata": _usage(draw)}


def ollama(draw: random.Random, calls: list[Fields]) -> Fields:
    """Ollama."""
    metadata = {
        "model": draw.choice(["llama3.1", "qwen3", "mistral"]),
        "created_at": f"2025-03-10T09:{draw.randrange(10, 60)}:{draw.randrange(10, 60)}.{draw.randrange(10**5)}Z",
        "done": True,
        "done_reason": "stop",
        "total_duration": draw.randrange(10**9, 10**10),
        "load_duration": draw.randrange(10**7, 10**8),
        "prompt_eval_count": draw.randrange(20, 2000),
        "prompt_eval_duration": draw.randrange(10**8, 10**9),
        "eval_count": draw.randrange(20, 500),
        "eval_duration": draw.randrange(10**8, 10**9),
        "logprobs": None,
        "model_name": "llama3.1",
        "model_provider": "ollama",
    }
    return {"response_metadata": metadata, "usage_metadata": _usage(draw)}


def old_openai(draw: random.Random, calls: list[Fields]) -> Fields:
    """OpenAI, by versions of langchain-openai that kept the tool calls as they came."""
    made = [
        {"id": call["id"], "function": {"arguments": "{}", "name": call["name"]}, "type": "function"} for call in calls
    ]
    metadata = {"finish_reason": "tool_calls" if calls else "stop", "model_name": "gpt-4o", "logprobs": None}
    kwargs = {"tool_calls": made, "refusal": None} if calls else {"refusal": None}
    return {"additional_kwargs": kwargs, "response_metadata": metadata}


def streamed(draw: random.Random, calls: list[Fields]) -> Fields:
    """A streamed answer's sum, which has little beside its text."""
    metadata = {"finish_reason": "tool_calls" if calls else "stop", "model_provider": "openai"}
    return {"response_metadata": {**metadata, "model_name": "gpt-4o-2024-08-06", "service_tier": "default"}}


def nothing(draw: random.Random, calls: list[Fields]) -> Fields:
    """An application that builds the messages itself."""
    return {}


PROVIDERS: tuple[Callable[[random.Random, list[Fields]], Fields], ...] = (
    *(openai, responses, anthropic, gemini, bedrock, ollama, old_openai, streamed),
    *(nothing, nothing, nothing, nothing),
)
