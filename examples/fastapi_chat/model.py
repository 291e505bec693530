"""The model that answers: an offline one, or any of LangChain's."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import anyio
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from chatmem.cli.offline import OfflineModel

PACE, LONGEST = 0.04, 20.0
"""Seconds a word, and seconds an answer."""


class PacedModel(OfflineModel):
    """The offline model of `chatmem chat`, at about the speed of a real one."""

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        chunks = list(self._stream(messages, stop))
        for chunk in chunks:
            await anyio.sleep(min(PACE, LONGEST / len(chunks)))
            yield chunk


def find_model() -> BaseChatModel:
    """Return the model that CHATMEM_DEMO_MODEL names as provider:name, or the offline one."""
    name = os.environ.get("CHATMEM_DEMO_MODEL")
    if not name:
        return PacedModel()
    from langchain.chat_models import init_chat_model  # noqa: PLC0415 - only here is langchain needed

    model: BaseChatModel = init_chat_model(name)
    return model
