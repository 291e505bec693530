"""The chat application's page in headless Chromium: what a user does, reloads, tabs, and tabs that are closed."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect, sync_playwright

from tests.chat_app import LONG, RECALL, ChatApp, running
from tests.servers import embedded, wait_until

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def app() -> Iterator[ChatApp]:
    with embedded() as url, running(url) as app:
        yield app


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or another that is on the path."""
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("apt-get install chromium")
        pytest.skip("no browser: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        with playwright.chromium.launch(executable_path=binary, args=arguments) as browser:
            yield browser


@pytest.fixture
def user() -> str:
    return f"user {uuid.uuid4()}"


@pytest.fixture
def context(browser: Browser, app: ChatApp, user: str) -> Iterator[BrowserContext]:
    """A browser with somebody new signed in; any error in the page's scripts fails the test."""
    errors: list[str] = []
    with browser.new_context(base_url=app.address) as context:
        context.set_default_timeout(20_000)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        sign_in(context.new_page(), user)
        yield context
    assert errors == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.pages[0]


def sign_in(page: Page, name: str) -> None:
    page.goto("/")
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Your name").press("Enter")
    expect(box(page)).to_be_visible()


def box(page: Page) -> Locator:
    return page.get_by_label("Message", exact=True)


def messages(page: Page) -> Locator:
    return page.locator("article .body")


def chats(page: Page) -> Locator:
    return page.locator("#chats button")


def send(page: Page, text: str) -> None:
    box(page).fill(text)
    box(page).press("Enter")


def talk(page: Page, text: str) -> None:
    """Send a message and wait until its answer is whole."""
    before = messages(page).count()
    send(page, text)
    expect(messages(page)).to_have_count(before + 2)
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.get_by_role("button", name="Regenerate")).to_be_visible()


def begin_long_answer(page: Page) -> str:
    """Return the first words of an answer that goes on for seconds more."""
    talk(page, LONG)
    send(page, RECALL)
    expect(messages(page).last).to_contain_text("word5 ")
    return messages(page).last.inner_text()


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


def notice(page: Page) -> Locator:
    return page.get_by_role("alert")


class TestTalking:
    def test_talk_and_reload(self, page: Page) -> None:
        """The conversation is there after a reload, and goes on."""
        talk(page, "Hi, my name is Alice.")
        talk(page, "What is my name?")
        page.reload()
        expect(messages(page)).to_have_text(
            [
                "Hi, my name is Alice.",
                "Nice to meet you, Alice. I will remember your name.",
                "What is my name?",
                "Your name is Alice.",
            ]
        )
        expect(chats(page)).to_have_text(["Hi, my name is Alice."])
        expect(page.get_by_role("heading", level=1)).to_have_text("Hi, my name is Alice.")
        talk(page, "Who am I?")
        expect(messages(page).last).to_have_text("Your name is Alice.")

    def test_the_application_is_killed_between_two_turns(self, app: ChatApp, page: Page) -> None:
        """The page says that nobody answers and keeps the text; the same text sent again is answered."""
        talk(page, "My name is Alice.")
        app.kill()
        send(page, "What is my name?")
        expect(notice(page)).to_have_text("The server does not answer. Try again in a moment.")
        expect(box(page)).to_have_value("What is my name?")
        app.start()
        box(page).press("Enter")
        expect(messages(page).last).to_have_text("Your name is Alice.")
        expect(messages(page)).to_have_count(4)

    def test_a_reply_that_is_lost(self, page: Page) -> None:
        """The server stores the message and the reply never comes: sent again, it is there once."""
        talk(page, "My name is Alice.")
        page.route("**/messages", lambda route: (route.fetch(), route.abort()), times=1)
        send(page, "My dog is white.")
        expect(notice(page)).to_be_visible()
        box(page).press("Enter")
        expect(box(page)).to_have_value("")
        expect(messages(page)).to_have_text(
            [
                "My name is Alice.",
                re.compile("Alice"),
                "My dog is white.",
                "I will remember that your dog is white.",
            ]
        )

    def test_stored_text_does_not_run(self, page: Page) -> None:
        """Markup is shown as it was typed: in messages, answers, titles, the list and search results."""
        evil = '<img src=x onerror="document.title=1/0"><script>hacked=1</script>'
        talk(page, evil + " zebra")
        talk(page, RECALL)
        page.reload()
        expect(messages(page).first).to_have_text(evil + " zebra")
        expect(messages(page).last).to_contain_text(evil)
        expect(chats(page)).to_contain_text(["<img src=x"])
        page.get_by_label("Search all chats").fill("zebra")
        expect(page.locator("#hits")).to_contain_text("<script>hacked=1</script>")
        assert page.locator("main img, nav img, main script, nav script").count() == 0
        assert page.evaluate("typeof hacked") == "undefined"

    def test_code_is_shown_as_code(self, page: Page) -> None:
        talk(page, "See:\n```python\nprint('<b>')\n```\nand more")
        code = messages(page).first.locator("pre")
        expect(code).to_have_text("print('<b>')")
        expect(messages(page).first).to_have_text(re.compile(r"^See:\s*print\('<b>'\)\s*and more$"))

    def test_with_the_keyboard_alone(self, page: Page) -> None:
        """A chat, a second one, and back to the first, without a mouse."""
        box(page).focus()
        page.keyboard.type("first line")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("second line")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
        expect(messages(page).first).to_have_text("first line\nsecond line", use_inner_text=True)
        page.get_by_role("button", name="New chat").press("Enter")
        expect(box(page)).to_be_focused()
        talk(page, "Another")
        chats(page).last.press("Enter")
        expect(messages(page).first).to_contain_text("first line")

    def test_a_slow_server_and_an_impatient_user(self, page: Page) -> None:
        """Enter twice is one message in one chat; opening another chat meanwhile shows nothing of it there."""
        talk(page, "My cat is black.")
        page.get_by_role("button", name="New chat").click()
        with hold(page, "**/chats", "POST"):
            send(page, "My dog is white.")
            box(page).press("Enter")
        expect(chats(page)).to_have_count(2)
        expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
        expect(messages(page)).to_have_count(2)
        with hold(page, "**/messages", "POST"):
            send(page, "What is my dog?")
            chats(page).last.click()
            expect(messages(page).first).to_have_text("My cat is black.")
        expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
        expect(messages(page)).to_have_count(2)
        chats(page).filter(has_text="dog").click()
        expect(messages(page)).to_have_count(4)


class TestBrokenOff:
    def test_a_reload_in_the_middle_of_an_answer(self, page: Page) -> None:
        """The partial text is there, marked, and can be asked for anew."""
        seen = begin_long_answer(page)
        page.reload()
        expect(messages(page).last).to_contain_text(seen)
        expect(page.get_by_text("unfinished")).to_be_visible()
        assert "word59" not in messages(page).last.inner_text()
        page.get_by_role("button", name="Regenerate").click()
        expect(messages(page).last).to_contain_text("word59")
        expect(page.get_by_text("unfinished")).to_have_count(0)
        expect(messages(page)).to_have_count(4)

    def test_a_tab_closed_in_the_middle_of_an_answer(self, context: BrowserContext, page: Page) -> None:
        """Another tab, opened later, has the partial text."""
        seen = begin_long_answer(page)
        address = page.url
        page.close()
        other = context.new_page()
        other.goto(address)
        expect(messages(other).last).to_contain_text(seen)
        expect(other.get_by_text("unfinished")).to_be_visible()

    def test_stop(self, page: Page) -> None:
        """What came stays; the next message may be sent."""
        seen = begin_long_answer(page)
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("unfinished")).to_be_visible()
        expect(messages(page).last).to_contain_text(seen)
        expect(box(page)).to_be_focused()
        talk(page, "My name is Alice.")

    def test_the_application_is_killed_in_the_middle_of_an_answer(self, app: ChatApp, page: Page) -> None:
        """The page says so, and shows what was stored once the application is back."""
        begin_long_answer(page)
        app.kill()
        expect(notice(page)).to_have_text("The answer was broken off. What came of it is kept.")
        app.start()
        expect(page.get_by_text("unfinished")).to_be_visible()
        expect(messages(page).last).to_contain_text("You have said 1 thing before.")


class TestTabs:
    def test_each_sees_what_the_other_says(self, context: BrowserContext, page: Page) -> None:
        """An answer is even seen to grow in the other tab."""
        talk(page, "Hi, I'm Alice.")
        other = context.new_page()
        other.goto(page.url)
        expect(messages(other)).to_have_count(2)
        seen = begin_long_answer(page)
        expect(messages(other).last).to_contain_text(seen)
        expect(messages(other).last).to_contain_text("word59")
        expect(other.get_by_text("unfinished")).to_have_count(0)
        talk(other, "What is my name?")
        expect(messages(page).last).to_have_text("Your name is Alice.")

    def test_regenerate_what_the_other_has_changed(self, context: BrowserContext, page: Page) -> None:
        """The tab that knows an older version is told, and then shows the newer one; nothing is lost."""
        talk(page, "Hi, I'm Alice.")
        other = context.new_page()
        other.goto(page.url)
        expect(messages(other)).to_have_count(2)
        other.route(re.compile(r"/chats/[0-9a-f-]+$"), lambda route: route.abort())  # it does not look for news
        talk(page, "I live in Lima.")
        other.get_by_role("button", name="Regenerate").click()
        expect(notice(other)).to_contain_text("This chat has changed meanwhile")
        expect(messages(other)).to_have_count(4)

    def test_delete_what_the_other_shows(self, context: BrowserContext, page: Page) -> None:
        talk(page, "Hi, I'm Alice.")
        other = context.new_page()
        other.goto(page.url)
        expect(messages(other)).to_have_count(2)
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Delete").click()
        expect(chats(page)).to_have_count(0)
        expect(notice(other)).to_have_text("This chat is no longer there.")
        expect(messages(other)).to_have_count(0)

    def test_an_answer_goes_on_while_another_chat_is_open(self, page: Page) -> None:
        """Coming back, one sees it grow and end."""
        begin_long_answer(page)
        page.get_by_role("button", name="New chat").click()
        talk(page, "My name is Alice.")
        chats(page).filter(has_text="word0").click()
        expect(messages(page).last).to_contain_text("word59")
        expect(page.get_by_text("unfinished")).to_have_count(0)
        expect(page.get_by_role("button", name="Send")).to_be_visible()

    def test_another_user_sees_nothing_of_it(self, browser: Browser, app: ChatApp, page: Page) -> None:
        """Not even with the chat's address."""
        talk(page, "My secret is 42.")
        with browser.new_context(base_url=app.address) as context:
            stranger = context.new_page()
            sign_in(stranger, "stranger")
            stranger.goto("about:blank")  # so that the address is loaded: another fragment alone loads nothing
            stranger.goto(page.url)
            expect(notice(stranger)).to_be_visible()
            expect(messages(stranger)).to_have_count(0)
            expect(chats(stranger)).to_have_count(0)

    def test_sign_out(self, page: Page) -> None:
        """Nothing is left on the page for the next one."""
        talk(page, "My secret is 42.")
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Your name").fill("the next one")
        page.get_by_role("button", name="Sign in").click()
        expect(box(page)).to_be_visible()
        expect(page.get_by_text("secret")).to_have_count(0)


class TestChanging:
    def test_regenerate(self, page: Page) -> None:
        talk(page, "Hi, I'm Alice.")
        talk(page, "What is my name?")
        page.get_by_role("button", name="Regenerate").click()
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
        expect(messages(page).last).to_have_text("Your name is Alice.")
        expect(messages(page)).to_have_count(4)

    def test_rename(self, page: Page) -> None:
        """The new title stands in the list and above the chat, after a reload too; Escape changes nothing."""
        talk(page, "Hi, I'm Alice.")
        for key, title in (("Escape", "Hi, I'm Alice."), ("Enter", "Renamed")):
            page.get_by_role("button", name="Rename").click()
            page.get_by_label("Title of this chat").fill("Renamed")
            page.get_by_label("Title of this chat").press(key)
            expect(page.get_by_role("heading", level=1)).to_have_text(title)
        expect(chats(page)).to_have_text(["Renamed"])
        page.reload()
        expect(chats(page)).to_have_text(["Renamed"])

    def test_delete(self, page: Page) -> None:
        """It asks first; the other chat stays."""
        talk(page, "My cat is black.")
        page.get_by_role("button", name="New chat").click()
        talk(page, "My dog is white.")
        page.once("dialog", lambda dialog: dialog.dismiss())
        page.get_by_role("button", name="Delete").click()
        expect(messages(page)).to_have_count(2)
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Delete").click()
        expect(messages(page)).to_have_count(0)
        page.reload()
        expect(chats(page)).to_have_text(["My cat is black."])

    def test_search(self, page: Page) -> None:
        """A match is marked, and a click opens its chat there; an empty field brings the list back."""
        talk(page, "🎉🎉 I live in Lima.")
        page.get_by_role("button", name="New chat").click()
        talk(page, "Nothing of the kind")
        query = page.get_by_label("Search all chats")
        query.fill("lima")
        expect(page.locator("#hits mark")).to_have_text(["Lima", "Lima"])
        expect(chats(page).first).to_be_hidden()
        page.locator("#hits button").filter(has_text="🎉").click()
        expect(page.locator("article.sought")).to_contain_text("I live in Lima.")
        query.fill("nowhere")
        expect(page.locator("#hits")).to_have_text("Nothing was found.")
        query.fill("")
        expect(chats(page)).to_have_count(2)
        expect(chats(page).first).to_be_visible()


class TestLongChats:
    def test_earlier_messages_and_a_match_among_them(self, app: ChatApp, user: str, page: Page) -> None:
        """The newest page is shown at its end; earlier ones come on request, or where a match is."""
        client = app.user(user)
        chat = client.new("Long")
        with client.asking(chat, "the very first needle") as events:
            next(events)
        wait_until(lambda: len(client.texts(chat)) == 2)
        for number in range(60):
            with client.asking(chat, f"message {number}") as events:
                next(events)
        page.goto(f"/#{chat}")
        page.reload()
        expect(messages(page)).to_have_count(50)
        expect(messages(page).last).to_be_in_viewport()
        page.get_by_role("button", name="Earlier messages").click()
        expect(messages(page)).to_have_count(100)
        page.reload()
        page.get_by_label("Search all chats").fill("needle")
        page.locator("#hits button").first.click()
        expect(page.locator("article.sought")).to_have_text(re.compile("the very first needle"))
        expect(page.locator("article.sought")).to_be_in_viewport()
        expect(messages(page)).to_have_count(122)

    def test_on_a_narrow_screen(self, page: Page) -> None:
        """The list is behind a button, and nothing is wider than the screen, long words and code included."""
        page.set_viewport_size({"width": 360, "height": 640})
        talk(page, "x" * 300 + "\n```\n" + "y" * 300 + "\n```")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate("document.getElementById('scroll').scrollWidth") <= 360
        expect(chats(page).first).to_be_hidden()
        page.get_by_role("button", name="Chats").click()
        page.get_by_role("button", name="New chat").click()
        expect(box(page)).to_be_visible()
        talk(page, "Again")
