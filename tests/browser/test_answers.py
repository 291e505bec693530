"""Answers that outlive what began them: reloads, other tabs, other workers, and workers that are killed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.steps import (
    at_rest,
    begin_long_answer,
    box,
    button,
    chats,
    ending,
    hold,
    messages,
    new_chat,
    open_page,
    send,
    talk,
)
from tests.chat_app import LONG, RECALL, ChatApp, running

WHOLE = f"You have said 1 thing before. The latest: “{LONG}”."


def test_five_reloads_in_one_answer(page: Page) -> None:
    """It goes on where it was, and is whole and once."""
    begin_long_answer(page)
    for _ in range(5):
        page.reload()
        expect(messages(page).last).to_contain_text("You have said 1 thing before.")
    at_rest(page)
    expect(messages(page)).to_have_count(4)
    expect(messages(page).last).to_have_text(WHOLE)
    page.reload()
    expect(messages(page).last).to_have_text(WHOLE)


def test_a_tab_closed_in_the_middle_of_an_answer(context: BrowserContext, page: Page) -> None:
    """Another tab, opened later, has the whole."""
    begin_long_answer(page)
    address = page.url
    page.close()
    other = context.new_page()
    other.goto(address)
    at_rest(other)
    expect(messages(other).last).to_have_text(WHOLE)


def test_an_answer_goes_on_while_another_chat_is_open(page: Page) -> None:
    """The list marks it meanwhile."""
    begin_long_answer(page)
    new_chat(page)
    expect(page.locator("#chats .running")).to_have_count(1)
    talk(page, "My name is Alice.")
    chats(page).filter(has_text="word0").click()
    at_rest(page)
    expect(messages(page).last).to_have_text(WHOLE)
    expect(page.locator("#chats .running")).to_have_count(0)


def test_stop(page: Page) -> None:
    """What came stays and is marked; the next message may be sent; the question can be answered again."""
    begin_long_answer(page)
    button(page, "Stop").click()
    expect(ending(page)).to_contain_text("Stopped.")
    expect(messages(page).last).to_contain_text("word5 ")
    expect(messages(page).last).not_to_contain_text("word59")
    expect(box(page)).to_be_focused()
    button(page, "Answer again").click()
    at_rest(page)
    expect(messages(page).last).to_have_text(WHOLE)
    talk(page, "My name is Alice.")


def test_stop_before_it_has_begun(page: Page) -> None:
    """The question is on its way: its answer is stopped as soon as there is one."""
    talk(page, LONG)
    with hold(page, "**/messages", "POST"):
        send(page, RECALL)
        button(page, "Stop").click()
        expect(button(page, "Stop")).to_be_disabled()
    expect(ending(page)).to_contain_text("Stopped.")
    expect(messages(page).last).not_to_contain_text("word59")


def test_stop_from_the_other_tab(context: BrowserContext, page: Page) -> None:
    begin_long_answer(page)
    other = context.new_page()
    other.goto(page.url)
    expect(messages(other).last).to_contain_text("word5 ")
    box(other).press("Escape")
    for tab in (page, other):
        expect(ending(tab)).to_contain_text("Stopped.")
        expect(messages(tab).last).not_to_contain_text("word59")
    assert messages(page).last.inner_text() == messages(other).last.inner_text()


def test_each_tab_sees_what_the_other_says(context: BrowserContext, page: Page) -> None:
    """An answer is seen to grow in the other tab, and questions may come from both."""
    talk(page, "Hi, I'm Alice.")
    other = context.new_page()
    other.goto(page.url)
    expect(messages(other)).to_have_count(2)
    begin_long_answer(page)
    expect(messages(other).last).to_contain_text("word5 ")
    expect(messages(other).last).not_to_contain_text("word59")
    at_rest(other)
    expect(messages(other).last).to_contain_text("word59")
    talk(other, "What is my name?")
    expect(messages(page).last).to_have_text("Your name is Alice.")
    expect(messages(page)).to_have_count(8)


def test_many_tabs(context: BrowserContext, page: Page) -> None:
    """A browser has six connections to a server. Four tabs that show a chat leave enough of them."""
    talk(page, "Hi, I'm Alice.")
    tabs = [page]
    for _ in range(3):
        tabs.append(context.new_page())
        tabs[-1].goto(page.url)
        expect(messages(tabs[-1])).to_have_count(2)
    talk(tabs[-1], "What is my name?")
    for tab in tabs:
        expect(messages(tab).last).to_have_text("Your name is Alice.")


def test_a_hidden_tab(context: BrowserContext, page: Page) -> None:
    """It holds no connection, and shows all that has come once somebody looks at it again."""
    talk(page, "Hi, I'm Alice.")
    other = context.new_page()
    other.goto(page.url)
    expect(messages(other)).to_have_count(2)
    other.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { get: () => window.isAway, configurable: true });
            window.setAway = (isAway) => {
                window.isAway = isAway;
                document.dispatchEvent(new Event("visibilitychange"));
            };
            setAway(true);
        }"""
    )
    with other.expect_request(re.compile("/changes"), timeout=20_000) as again:
        talk(page, "What is my name?")
        other.wait_for_timeout(200)
        assert messages(other).count() == 2
        other.evaluate("setAway(false)")
    assert again.value.url.startswith(page.url.partition("#")[0] + "chats/")
    expect(messages(other).last).to_have_text("Your name is Alice.")


def test_what_an_old_tab_sends_during_an_answer(context: BrowserContext, page: Page) -> None:
    """It is told that an answer is being written, keeps its text, and then shows that answer."""
    talk(page, LONG)
    other = context.new_page()
    other.goto(page.url)
    expect(messages(other)).to_have_count(2)
    with other.expect_response(re.compile("/messages$")) as refused:
        other.route(re.compile("/changes"), lambda route: route.abort())  # it does not hear of what comes
        other.reload()
        expect(messages(other)).to_have_count(2)
        send(page, RECALL)
        expect(messages(page).last).to_contain_text("word1 ")
        send(other, "Meanwhile")
    assert refused.value.status == 409
    expect(other.get_by_role("alert")).to_contain_text("An answer is being written")
    expect(box(other)).to_have_value("Meanwhile")
    at_rest(other)
    expect(messages(other).last).to_have_text(WHOLE)


@pytest.fixture(scope="module")
def workers(app: ChatApp) -> Iterator[ChatApp]:
    with running(app.url, workers=2) as two:
        yield two


class TestWorkers:
    """Two workers behind one port: a page's requests go to either."""

    @pytest.fixture
    def page(self, browser: Browser, workers: ChatApp, user: str) -> Iterator[Page]:
        with browser.new_context(base_url=workers.address) as context:
            context.set_default_timeout(20_000)
            yield open_page(context, user)

    def test_readers_on_both(self, workers: ChatApp, page: Page, user: str) -> None:
        """Whoever follows has the whole, while one worker writes."""
        assert len(workers.workers()) >= 2
        begin_long_answer(page)
        chat = page.url.partition("#")[2]
        with httpx.Client(base_url=workers.address, trust_env=False) as client:
            client.post("/sign-in", json={"name": user}).raise_for_status()
            (answer,) = client.get(f"/chats/{chat}").json()["answers"]
            signed_in = dict(client.cookies)

        def read(_: int) -> str:
            """Follow the answer over a connection of its own, which is to either worker."""
            with httpx.Client(base_url=workers.address, cookies=signed_in, timeout=60, trust_env=False) as client:
                events = client.get(f"/chats/{chat}/answers/{answer['id']}").raise_for_status().text
            last = re.findall(r"^data: (.*)$", events, re.MULTILINE)[-1]
            return str(json.loads(last)["messages"][0]["content"])

        with ThreadPoolExecutor(6) as readers:
            assert list(readers.map(read, range(6))) == [WHOLE] * 6
        expect(messages(page).last).to_have_text(WHOLE)

    def test_the_worker_is_killed_in_the_middle(self, workers: ChatApp, page: Page) -> None:
        """What was written is kept, marked "interrupted", and the question can be asked again."""
        begin_long_answer(page)
        seen = messages(page).last.inner_text()
        workers.kill_workers()
        page.reload()
        expect(messages(page).last).to_contain_text(seen)
        expect(ending(page)).to_contain_text("Interrupted:", timeout=60_000)
        expect(messages(page).last).to_contain_text(seen)
        expect(messages(page).last).not_to_contain_text("word59")
        button(page, "Ask again").click()
        at_rest(page)
        expect(messages(page).last).to_have_text(WHOLE)
        expect(messages(page)).to_have_count(4)
