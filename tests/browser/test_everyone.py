"""The page for everyone: with the keyboard, a screen reader, in the dark, on a narrow screen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.axe import violations
from tests.browser.steps import (
    at_rest,
    begin_long_answer,
    box,
    button,
    chats,
    choose,
    ending,
    messages,
    new_chat,
    open_chat,
    open_page,
    send,
    sign_in,
    store,
    talk,
)
from tests.browser.test_markdown import SAMPLE
from tests.chat_app import LONG, RECALL, ChatApp

NARROW: ViewportSize = {"width": 360, "height": 640}


class TestKeyboard:
    def test_talking(self, page: Page) -> None:
        """A chat, a second one, and back to the first, without a mouse."""
        box(page).focus()
        page.keyboard.type("first line")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("second line")
        page.keyboard.press("Enter")
        at_rest(page)
        expect(messages(page).first).to_have_text("first line\nsecond line", use_inner_text=True)
        page.keyboard.press("Control+Shift+O")
        expect(box(page)).to_be_focused()
        talk(page, "Another")
        chats(page).last.press("Enter")
        expect(messages(page).first).to_contain_text("first line")

    def test_shortcuts(self, page: Page) -> None:
        """Each that the dialog lists does what it says."""
        talk(page, "My name is Alice.")
        page.locator("#scroll").focus()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
        expect(page.locator("#shortcuts dt")).to_have_count(11)
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        expect(box(page)).to_be_focused()
        page.keyboard.type("?/")
        expect(box(page)).to_have_value("?/")
        box(page).fill("")
        page.keyboard.press("Control+k")
        expect(page.get_by_label("Search all chats")).to_be_focused()
        page.keyboard.type("Alice")
        expect(page.locator("#hits .hit").first).to_be_visible()
        page.keyboard.press("ArrowDown")
        expect(page.locator("#hits .hit").first).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#hits")).to_be_hidden()
        page.keyboard.press("Alt+ArrowUp")
        expect(page.get_by_label("Edit your message")).to_be_focused()
        page.keyboard.press("Escape")
        page.keyboard.press("Control+Shift+E")
        expect(page.get_by_role("dialog", name="Rename this chat")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("Control+Shift+S")
        expect(page.get_by_role("navigation", name="Chats")).to_be_hidden()
        page.keyboard.press("Control+Shift+S")
        expect(page.get_by_role("navigation", name="Chats")).to_be_visible()
        page.keyboard.press("Control+Shift+L")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        page.keyboard.press("Control+Shift+Backspace")
        button(page, "Delete").press("Enter")
        expect(chats(page)).to_have_count(0)

    def test_a_menu(self, page: Page) -> None:
        """Arrows walk through it, Escape leads back to its button, Enter chooses."""
        talk(page, "My name is Alice.")
        options = button(page, "Options of this chat")
        options.press("Enter")
        expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
        page.keyboard.press("ArrowUp")
        expect(page.get_by_role("menuitem", name="Delete")).to_be_focused()
        page.keyboard.press("Escape")
        expect(options).to_be_focused()
        expect(options).to_have_attribute("aria-expanded", "false")
        options.press("Enter")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator("#chats h2")).to_have_text(["Pinned"])


class TestThemes:
    @staticmethod
    def paper(page: Page) -> str:
        return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    def test_as_the_system_is(self, page: Page) -> None:
        page.emulate_media(color_scheme="light")
        light = self.paper(page)
        page.emulate_media(color_scheme="dark")
        assert self.paper(page) != light

    def test_as_the_user_chose(self, page: Page) -> None:
        """It stays so after a reload, and other tabs follow."""
        page.emulate_media(color_scheme="light")
        light = self.paper(page)
        other = page.context.new_page()
        other.goto("/")
        expect(box(other)).to_be_visible()
        page.bring_to_front()
        page.locator("#account").click()
        page.get_by_role("menuitemradio", name="Dark").click()
        dark = self.paper(page)
        assert dark != light
        expect(other.locator("html")).to_have_attribute("data-theme", "dark")
        page.reload()
        assert self.paper(page) == dark
        page.locator("#account").click()
        expect(page.get_by_role("menuitemradio", name="Dark")).to_have_attribute("aria-checked", "true")
        page.get_by_role("menuitemradio", name="As the system is").click()
        assert self.paper(page) == light


class TestNarrow:
    def test_a_conversation(self, page: Page) -> None:
        """The list is in a drawer, and nothing is wider than the screen, long words and code included."""
        page.set_viewport_size(NARROW)
        talk(page, "x" * 300 + "\n```\n" + "y" * 300 + "\n```")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate("document.getElementById('scroll').scrollWidth") <= 360
        expect(chats(page).first).to_be_hidden()
        button(page, "Show the chats").click()
        expect(chats(page).first).to_be_in_viewport()
        expect(button(page.get_by_role("navigation"), "New chat")).to_be_focused()
        page.keyboard.press("Escape")
        expect(chats(page).first).to_be_hidden()
        expect(button(page, "Show the chats")).to_be_focused()
        button(page, "Show the chats").click()
        button(page.get_by_role("navigation"), "New chat").click()
        expect(box(page)).to_be_focused()
        talk(page, "Again")
        button(page, "Show the chats").click()
        chats(page).last.click()
        expect(messages(page).first).to_contain_text("xxx")
        expect(chats(page).first).to_be_hidden()


class TestScreenReader:
    def test_answers_are_read_as_they_come(self, page: Page) -> None:
        """Block by block, each once, and not letter by letter."""
        log = page.get_by_role("log", name="Answers")
        talk(page, "My name is Alice.")
        expect(log).to_have_text("Nice to meet you, Alice. I will remember your name.")
        expect(page.get_by_role("article", name="You")).to_have_count(1)
        expect(page.get_by_role("article", name="Answer")).to_have_count(1)
        page.reload()
        expect(messages(page)).to_have_count(2)
        expect(log).to_have_text("")  # what was read is not read again

    def test_how_an_answer_ends_is_read(self, page: Page) -> None:
        begin_long_answer(page)
        button(page, "Stop").click()
        expect(page.get_by_role("log", name="Answers")).to_contain_text("Stopped. This is what came of it.")

    def test_with_less_motion(self, page: Page) -> None:
        page.emulate_media(reduced_motion="reduce")
        begin_long_answer(page)
        running = "document.getAnimations().filter((one) => one.playState === 'running').length"
        assert page.evaluate(running) == 0


@pytest.fixture
def painted(browser: Browser, app: ChatApp) -> Iterator[Page]:
    with browser.new_context(base_url=app.address, bypass_csp=True, reduced_motion="reduce") as context:
        context.set_default_timeout(20_000)
        yield context.new_page()


class TestAxe:
    """axe-core finds nothing, on any screen, in the light and in the dark.

    It is put into the page, which the page's policy would not allow.
    """

    def test_talking(self, painted: Page, user: str) -> None:
        page = painted
        page.goto("/")
        expect(page.get_by_label("Your name")).to_be_visible()
        assert violations(page) == []
        sign_in(page, user)
        assert violations(page) == []
        talk(page, LONG)
        button(page, "Good answer").click()
        choose(page, "Pin")
        send(page, RECALL)
        expect(messages(page).last).to_contain_text("word5 ")
        assert violations(page) == []
        at_rest(page)
        button(page.locator(".turn").last, "Regenerate").click()
        button(page, "Stop").click()
        expect(ending(page)).to_contain_text("Stopped.")
        expect(page.locator(".walker").first).to_be_visible()
        assert violations(page) == []

    def test_reading(self, painted: Page, app: ChatApp, user: str) -> None:
        page = open_page(painted.context, user)
        store(app.url, user, f"{user} 1", HumanMessage("Show me"), AIMessage(SAMPLE))
        open_chat(page, f"{user} 1")
        expect(page.locator(".hljs-keyword").first).to_be_visible()
        assert violations(page) == []
        page.get_by_label("Search all chats").fill("text")
        expect(page.locator("#hits .hit")).to_have_count(1)
        page.locator("#hits .hit").click()
        expect(page.locator(".turn.sought")).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.set_viewport_size(NARROW)
        assert violations(page) == []
        button(page, "Show the chats").click()
        assert violations(page) == []

    def test_menus_and_dialogs(self, painted: Page, user: str) -> None:
        page = open_page(painted.context, user)
        talk(page, "My name is Alice.")
        page.locator("#account").click()
        assert violations(page) == []
        page.get_by_role("menuitem", name="Keyboard shortcuts").click()
        assert violations(page) == []
        page.keyboard.press("Escape")
        choose(page, "Rename")
        assert violations(page) == []
        page.keyboard.press("Escape")
        choose(page, "Delete")
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.keyboard.press("Alt+ArrowUp")
        expect(page.get_by_label("Edit your message")).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Escape")
        choose(page, "Archive")
        expect(button(page, "Undo")).to_be_visible()
        assert violations(page) == []
        button(page, "Archived chats").click()
        expect(chats(page)).to_have_count(1)
        assert violations(page) == []
        new_chat(page)
        page.route("**/chats", lambda route: route.abort())
        send(page, "Nobody hears")
        expect(page.get_by_role("alert")).to_be_visible()
        assert violations(page) == []
