"""Headless Chromium and the chat application: somebody new is signed in, and no error of the page goes unseen."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.browser.steps import open_page
from tests.chat_app import ChatApp, running
from tests.chromium import chromium
from tests.servers import embedded

_VIOLATIONS = "addEventListener('securitypolicyviolation', ({violatedDirective: what}) => console.error('CSP ' + what))"


@pytest.fixture(scope="package")
def app() -> Iterator[ChatApp]:
    with embedded() as url, running(url) as app:
        yield app


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def user() -> str:
    return f"user {uuid.uuid4()}"


@pytest.fixture
def context(browser: Browser, app: ChatApp, user: str) -> Iterator[BrowserContext]:
    """A browser with somebody new signed in. Errors of scripts, or of the Content-Security-Policy, fail the test."""
    wrong: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):  # what is refused
            wrong.append(message.text)

    with browser.new_context(base_url=app.address) as context:
        context.set_default_timeout(20_000)
        context.add_init_script(_VIOLATIONS)
        context.on("weberror", lambda error: wrong.append(str(error.error)))
        context.on("console", listen)
        open_page(context, user)
        yield context
    assert wrong == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.pages[0]
