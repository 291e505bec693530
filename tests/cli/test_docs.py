"""docs/cli.md says what there is, and its examples print what stands below them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from typer.main import get_command

import chatmem.sync
from chatmem.cli.app import app

PAGE = (Path(__file__).parent.parent.parent / "docs" / "cli.md").read_text()
SECTIONS = dict(re.findall(r"^## chatmem (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_each_command_and_option() -> None:
    """Each command has a section, which names each option but those that all have."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert set(SECTIONS) == set(commands)
    for name in set(commands) - {"migrate"}:  # that has a page of its own
        for parameter in commands[name].params:
            for option in set(parameter.opts) - {"--url", "--prefix", "--output", "-o"}:
                if option.startswith("--"):
                    assert option in SECTIONS[name], (name, option)


def test_the_examples(server: str, tmp_path: Path) -> None:
    """In the order of the page; numbers, records and white space may differ."""
    with chatmem.sync.connect(server, ttl=7 * 86_400) as memory:
        history = memory.history("support-1", user="alice")
        history.append(
            HumanMessage("I want a refund for HAT001.", id="m1"),
            AIMessage("", tool_calls=[{"name": "refund", "args": {"flight": "HAT001"}, "id": "c1"}]),
            ToolMessage("refunded: 120 USD", tool_call_id="c1"),
            AIMessage("Your refund of 120 USD is on its way."),
        )
        history.update(title="Refund of HAT001")
        memory.history("support-2", user="bob").append("Hello", ("ai", "Hi Bob!"))
    with chatmem.sync.connect(server) as memory:
        memory.history("notes").append("Remember the milk")
    examples = [
        example for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for example in block.split("$ ")[1:]
    ]
    assert len(examples) > 12
    for example in examples:
        command, _, output = example.partition("\n")
        done = subprocess.run(
            [sys.executable, "-m", "chatmem.cli", *command.split()[1:]],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "CHATMEM_URL": server, "COLUMNS": "100"},
        )
        assert _likened(done.stderr + done.stdout) == _likened(output), command


def _likened(text: str) -> str:
    text = re.sub(r'"record": "[^"]+"', "", text)
    text = re.sub(r"\d[\d.,]*( [KM]?i?B)?", "0", text)
    text = re.sub(r"seconds?|ahead|behind|[█▉▊▋▌▍▎▏]", "", text)
    return re.sub("─+", "─", "".join(text.split()))  # a column is as wide as its widest number
