"""Each adapter is an optional import: without its framework it says which extra installs it, and the rest works."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

ADAPTERS = {
    "langchain": "from chatmem.langchain import HistoryMiddleware",
    "langgraph": "from chatmem.langgraph import HistoryNodes",
    "pydantic_ai": "from chatmem.pydantic_ai import ModelMessageHistory",
    "agent_framework": "from chatmem.agent_framework import ChatmemHistoryProvider",
    "chatkit": "from chatmem.chatkit import ChatmemStore",
    "fastapi": "from chatmem.fastapi import router",
}
RARER = {"google.adk": "from chatmem.google_adk import ChatmemSessionService"}
"""Adapters whose frameworks only `nox -s adapters` installs."""
FRAMEWORKS = [*ADAPTERS, "agents", "openai", "claude_agent_sdk", "llama_index"]
BRINGS = {"langchain": ["langgraph"], "chatkit": ["agents", "openai"]}
DEPRECATED = "langchain_core.chat_history"


def run(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("package", "statement"), (ADAPTERS | RARER).items())
def test_without_its_framework(package: str, statement: str) -> None:
    extra = re.sub(r"\W|_", "-", package)
    run(
        f"import sys; sys.modules[{package!r}] = None\n"
        "import chatmem\n"
        "try:\n"
        f"    {statement}\n"
        "except chatmem.UnsupportedError as error:\n"
        f"    assert str(error).endswith(\"pip install 'chatmem-redis[{extra}]'\"), error\n"
        "else:\n"
        "    raise AssertionError('it was imported')\n"
    )


@pytest.mark.parametrize(("package", "statement"), ADAPTERS.items())
def test_with_no_other_framework(package: str, statement: str) -> None:
    """Nor with LangChain's deprecated classes. Some frameworks bring others: LangChain's agents are made of graphs."""
    needed = {package, *BRINGS.get(package, ())}
    others = [DEPRECATED, *(one for one in FRAMEWORKS if one not in needed)]
    run(f"import sys; sys.modules.update(dict.fromkeys({others!r}))\n{statement}\n")


def test_sessions_of_openais_sdk_need_nothing_of_it(url: str, prefix: str) -> None:
    run(
        f"import sys; sys.modules.update(dict.fromkeys({FRAMEWORKS!r}))\n"
        "import asyncio, chatmem\n"
        "from chatmem.openai_agents import ChatmemSession\n"
        "async def main():\n"
        f"    async with chatmem.connect({url!r}, prefix={prefix!r}, ttl=60) as memory:\n"
        "        session = ChatmemSession(memory, 's')\n"
        "        await session.add_items([{'role': 'user', 'content': 'hi'}])\n"
        "        assert await session.get_items() == [{'role': 'user', 'content': 'hi'}]\n"
        "asyncio.run(main())\n"
    )


def test_the_adapters_that_are_not_in_dev(url: str, prefix: str) -> None:
    """Transcripts of the Claude Agent SDK need nothing of it but for summaries; LlamaIndex's classes need it."""
    run(
        f"import sys; sys.modules.update(dict.fromkeys({FRAMEWORKS!r}))\n"
        "import asyncio, chatmem\n"
        "from chatmem.claude_agents import ChatmemSessionStore\n"
        "async def main():\n"
        f"    async with chatmem.connect({url!r}, prefix={prefix!r}, ttl=60) as memory:\n"
        "        store = ChatmemSessionStore(memory)\n"
        "        key = {'project_key': 'p', 'session_id': 's'}\n"
        "        await store.append(key, [{'type': 'x'}])\n"
        "        assert await store.load(key) == [{'type': 'x'}]\n"
        "        try:\n"
        "            await store.list_session_summaries('p')\n"
        "        except chatmem.UnsupportedError as error:\n"
        "            assert str(error).endswith(\"pip install 'chatmem-redis[claude-agents]'\"), error\n"
        "        else:\n"
        "            raise AssertionError('it was imported')\n"
        "asyncio.run(main())\n"
        "try:\n"
        "    import chatmem.llama_index\n"
        "except chatmem.UnsupportedError as error:\n"
        "    assert str(error).endswith(\"pip install 'chatmem-redis[llama-index]'\"), error\n"
        "else:\n"
        "    raise AssertionError('it was imported')\n"
    )
