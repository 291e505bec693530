"""Pages of the AI SDK's `useChat` and of AG-UI's `HttpAgent`, in headless Chromium, on `chatmem.fastapi.router`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.chat_app import ROOT
from tests.chromium import chromium
from tests.servers import embedded, free_port, wait_until
from tests.ui.server import WORDS

LAST = f"word1-{WORDS - 1} "
CALL = '{"city":"Lima"}'


class Site:
    """A process of the application."""

    def __init__(self, url: str, pages: Path) -> None:
        port = free_port()
        given = {"CHATMEM_URL": url, "CHATMEM_PREFIX": "pages", "CHATMEM_PAGES": str(pages)}
        environment = {**os.environ, **given}
        self.address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "uvicorn", "--factory", "tests.ui.server:create", "--port", str(port)]
        self._process = subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env=environment)
        wait_until(self._answers, seconds=60)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.address}/index.html", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def stored(self, chat: str) -> list[str]:
        """Return the texts of a chat's messages, oldest first."""
        page = httpx.get(f"{self.address}/api/chats/{chat}/messages", trust_env=False).raise_for_status().json()
        return [entry["message"]["content"] for entry in reversed(page["entries"])]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(pages: Path) -> Iterator[Site]:
    with embedded() as url:
        site = Site(url, pages)
        yield site
        site.close()


@pytest.fixture
def chat() -> str:
    return f"chat-{uuid.uuid4()}"


@pytest.fixture
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    """A browser; any error in a page's scripts fails the test."""
    errors: list[str] = []
    with browser.new_context(base_url=site.address) as context:
        context.on("weberror", lambda error: errors.append(str(error.error)))
        yield context
    assert errors == []


def opened(context: BrowserContext, chat: str, name: str = "index.html") -> Page:
    page = context.new_page()
    page.goto(f"/{name}?chat={chat}")
    return page


def send(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_label("Message").press("Enter")


def answer(page: Page) -> Locator:
    return page.locator('article[data-role="assistant"]').last


def words(locator: Locator, number: int = 1) -> list[str]:
    """Return the words of an answer that a page shows."""
    return re.findall(rf"word{number}-\d+", locator.inner_text())


WHOLE = [f"word1-{word}" for word in range(WORDS)]


class TestUseChat:
    def test_an_answer_with_a_tool(self, context: BrowserContext, site: Site, chat: str) -> None:
        """What streamed, what is stored, and what a reload shows are the same."""
        page = opened(context, chat)
        send(page, "How is the weather?")
        expect(answer(page).locator(".tool")).to_have_text(f"tool-weather output-available {CALL} fine")
        expect(page.locator("output")).to_have_text("ready")
        streamed = page.locator("article").all_inner_texts()
        assert words(answer(page)) == WHOLE
        page.reload()
        expect(page.locator("article")).to_have_count(2)
        assert page.locator("article").all_inner_texts() == streamed
        assert [text[:12] for text in site.stored(chat)] == ["How is the w", "Let me look.", "fine", "word1-0 word"]

    def test_reloads_in_the_middle_and_a_second_tab(self, context: BrowserContext, site: Site, chat: str) -> None:
        """The answer goes on in each, and is there once."""
        page = opened(context, chat)
        send(page, "How is the weather?")
        for word in (5, 15):
            expect(answer(page)).to_contain_text(f"word1-{word} ")
            page.reload()
        other = opened(context, chat)
        for tab in (page, other):
            expect(answer(tab)).to_contain_text(LAST)
            expect(tab.locator("output")).to_have_text("ready")
            expect(tab.locator("article")).to_have_count(2)
            assert words(answer(tab)) == WHOLE
        assert len(site.stored(chat)) == 4

    def test_stop_and_ask_again(self, context: BrowserContext, site: Site, chat: str) -> None:
        """The partial text stays, and says that it was stopped; another answer takes its place."""
        page = opened(context, chat)
        send(page, "Talk to me")
        expect(answer(page)).to_contain_text("word1-3 ")
        page.get_by_role("button", name="Stop").click()
        expect(answer(page)).to_have_attribute("data-status", "stopped")
        shown = words(answer(page))
        page.reload()
        expect(answer(page)).to_have_attribute("data-status", "stopped")
        assert words(answer(page)) == shown == site.stored(chat)[-1].split()
        assert 3 < len(shown) < WORDS
        page.get_by_role("button", name="Again").click()
        expect(answer(page)).to_contain_text(LAST)
        expect(page.locator("article")).to_have_count(2)
        assert words(answer(page)) == WHOLE


class TestHttpAgent:
    def test_a_reload_in_the_middle(self, context: BrowserContext, chat: str) -> None:
        """The chat comes as a snapshot, and the answer goes on."""
        page = opened(context, chat, "agent.html")
        send(page, "How is the weather?")
        expect(answer(page)).to_contain_text("word1-9 ")
        page.reload()
        expect(answer(page)).to_contain_text(LAST)
        expect(page.locator("output")).to_have_text("ready")
        said, called, found, answered = page.locator("article").all_inner_texts()
        assert (said, found) == ("How is the weather?", "fine")
        assert called == 'Let me look. weather {"city": "Lima"}'
        assert re.findall(r"\S+", answered) == WHOLE

    def test_beside_use_chat(self, context: BrowserContext, chat: str) -> None:
        """Both front ends show the same conversation, and go on with it."""
        one, other = opened(context, chat), opened(context, chat, "agent.html")
        send(one, "Talk to me")
        expect(answer(one)).to_contain_text(LAST)
        other.reload()
        expect(answer(other)).to_contain_text(LAST)
        send(other, "And on?")
        expect(answer(other)).to_contain_text(f"word2-{WORDS - 1} ")
        one.reload()
        expect(one.locator("article")).to_have_count(4)
        assert words(answer(one), 2) == [f"word2-{word}" for word in range(WORDS)]
