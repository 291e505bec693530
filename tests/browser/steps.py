"""What a user does and sees on the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.messages import BaseMessage
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

import chatmem.sync
from tests.chat_app import LONG, RECALL
from tests.servers import wait_until


def open_page(context: BrowserContext, name: str) -> Page:
    """Open the page for somebody who is signed in."""
    assert context.request.post("/sign-in", data={"name": name}).ok
    page = context.new_page()
    page.goto("/")
    expect(box(page)).to_be_visible()
    return page


def sign_in(page: Page, name: str) -> None:
    """Sign in as people do."""
    page.goto("/")
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Your name").press("Enter")
    expect(box(page)).to_be_visible()


def box(page: Page) -> Locator:
    return page.get_by_label("Message", exact=True)


def messages(page: Page) -> Locator:
    return page.locator(".turn .body")


def chats(page: Page) -> Locator:
    return page.locator("#chats a")


def button(page: Page | Locator, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def notice(page: Page) -> Locator:
    return page.get_by_role("alert")


def ending(page: Page) -> Locator:
    """What the last answer says of its end, if it is not whole."""
    return page.locator(".turn").last.locator(".note")


def send(page: Page, text: str) -> None:
    page.bring_to_front()  # else Chromium takes a second for each click
    box(page).fill(text)
    box(page).press("Enter")


def talk(page: Page, text: str) -> None:
    """Send a message and wait until its answer is whole."""
    before = messages(page).count()
    send(page, text)
    expect(messages(page)).to_have_count(before + 2)
    at_rest(page)


def at_rest(page: Page) -> None:
    """Wait until the last answer is whole and stored."""
    expect(button(page, "Send")).to_be_visible()
    expect(button(page.locator(".turn").last, "Regenerate")).to_have_count(1)


def new_chat(page: Page) -> None:
    button(page, "New chat").click()
    expect(messages(page)).to_have_count(0)


def choose(page: Page, what: str) -> None:
    """Choose something from the menu of the open chat."""
    page.bring_to_front()
    button(page, "Options of this chat").click()
    page.get_by_role("menuitem", name=what, exact=True).click()


def begin_long_answer(page: Page) -> None:
    """Begin an answer that goes on for seconds more."""
    talk(page, LONG)
    send(page, RECALL)
    expect(messages(page).last).to_contain_text("word5 ")


@contextmanager
def hold(page: Page, pattern: str, method: str) -> Iterator[None]:
    """Let requests wait from the first one on, until the end; at least one must have come."""
    held: list[Route] = []

    def take(route: Route) -> None:
        if route.request.method == method:
            held.append(route)
        else:
            route.continue_()

    def has_come() -> bool:
        page.wait_for_timeout(10)  # in which the page's events are taken
        return bool(held)

    page.route(pattern, take)
    yield
    wait_until(has_come)
    for route in held:
        route.continue_()
    page.unroute(pattern, take)


def store(url: str, user: str, chat: str, *stored: BaseMessage) -> None:
    """Store a conversation, as if it had been held."""
    with chatmem.sync.connect(url, ttl=3600) as memory:
        history = memory.history(chat, user=user)
        history.append(*stored)
        history.update(title=f"Chat {chat}")


def open_chat(page: Page, chat: str) -> None:
    page.goto(f"/#{chat}")
    page.reload()  # another fragment alone loads nothing
    expect(messages(page).first).to_be_visible()
