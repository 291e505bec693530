"""Talking, reloading, and what a user sees when the server is slow, gone, or its reply is lost."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.steps import (
    at_rest,
    box,
    button,
    chats,
    hold,
    messages,
    new_chat,
    notice,
    send,
    sign_in,
    talk,
)
from tests.chat_app import ChatApp


def test_talk_and_reload(page: Page) -> None:
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
    expect(page).to_have_title("Hi, my name is Alice. - chatmem chat")
    talk(page, "Who am I?")
    expect(messages(page).last).to_have_text("Your name is Alice.")


def test_the_application_is_killed_between_two_turns(app: ChatApp, page: Page) -> None:
    """The page says that nobody answers and keeps the text; the same text sent again is answered."""
    talk(page, "My name is Alice.")
    app.kill()
    send(page, "What is my name?")
    expect(notice(page)).to_contain_text("The server does not answer. Try again in a moment.")
    expect(page.locator("#connection")).to_contain_text("Trying again")
    expect(box(page)).to_have_value("What is my name?")
    app.start()
    expect(page.locator("#connection")).to_be_hidden()
    box(page).press("Enter")
    expect(messages(page).last).to_have_text("Your name is Alice.")
    expect(messages(page)).to_have_count(4)


@pytest.mark.parametrize("hears", [True, False])
def test_a_reply_that_is_lost(page: Page, hears: bool) -> None:
    """The message is stored, the reply never comes: when the page hears of it, or sends it again, it is there once."""
    talk(page, "My name is Alice.")
    if not hears:
        page.route(re.compile("/changes"), lambda route: route.abort())
        page.reload()
        expect(messages(page)).to_have_count(2)
    page.route("**/messages", lambda route: (route.fetch(), route.abort()), times=1)
    send(page, "My dog is white.")
    if not hears:
        expect(notice(page)).to_be_visible()
        box(page).press("Enter")
    expect(box(page)).to_have_value("")
    expect(messages(page)).to_have_text(
        ["My name is Alice.", re.compile("Alice"), "My dog is white.", "I will remember that your dog is white."]
    )


def test_the_reply_to_the_first_message_is_lost(page: Page) -> None:
    """Sent again, it is one chat."""
    page.route("**/chats", lambda route: (route.fetch(), route.abort()), times=1)
    send(page, "My dog is white.")
    expect(notice(page)).to_be_visible()
    box(page).press("Enter")
    expect(messages(page)).to_have_text(["My dog is white.", "I will remember that your dog is white."])
    page.reload()
    expect(chats(page)).to_have_count(1)


def test_without_a_network(context: BrowserContext, page: Page) -> None:
    """The page says so; what is written is kept, even over a reload, and sent once the network is back."""
    talk(page, "My name is Alice.")
    context.set_offline(True)
    expect(page.locator("#connection")).to_contain_text("You are offline.")
    send(page, "What is my name?")
    expect(notice(page)).to_be_visible()
    context.set_offline(False)
    expect(page.locator("#connection")).to_be_hidden()
    page.reload()
    expect(box(page)).to_have_value("What is my name?")
    box(page).press("Enter")
    expect(messages(page).last).to_have_text("Your name is Alice.")
    expect(box(page)).to_have_value("")


def test_a_slow_server_and_an_impatient_user(page: Page) -> None:
    """Enter twice is one message in one chat; opening another chat meanwhile shows nothing of it there."""
    talk(page, "My cat is black.")
    new_chat(page)
    with hold(page, "**/chats", "POST"):
        send(page, "My dog is white.")
        box(page).press("Enter")
    expect(chats(page)).to_have_count(2)
    at_rest(page)
    expect(messages(page)).to_have_count(2)
    with hold(page, "**/messages", "POST"):
        send(page, "What is my dog?")
        expect(messages(page)).to_have_count(3)  # at once
        chats(page).last.click()
        expect(messages(page).first).to_have_text("My cat is black.")
    expect(messages(page)).to_have_count(2)
    chats(page).filter(has_text="dog").click()
    expect(messages(page)).to_have_count(4)


def test_another_user_sees_nothing_of_it(browser: Browser, app: ChatApp, page: Page) -> None:
    """Not even with the chat's address."""
    talk(page, "My secret is 42.")
    with browser.new_context(base_url=app.address) as context:
        stranger = context.new_page()
        sign_in(stranger, "stranger")
        stranger.goto("about:blank")  # so that the address is loaded: another fragment alone loads nothing
        stranger.goto(page.url)
        expect(notice(stranger)).to_contain_text("This chat is no longer there.")
        expect(messages(stranger)).to_have_count(0)
        expect(chats(stranger)).to_have_count(0)


def test_sign_out(page: Page) -> None:
    """Nothing is left on the page for the next one."""
    talk(page, "My secret is 42.")
    box(page).fill("half a secret")
    page.locator("#account").click()
    page.get_by_role("menuitem", name="Sign out").click()
    page.get_by_label("Your name").fill("the next one")
    button(page, "Sign in").click()
    expect(box(page)).to_be_visible()
    expect(box(page)).to_have_value("")
    expect(page.get_by_text("secret")).to_have_count(0)


def test_suggestions(page: Page) -> None:
    """They are written for the user, who sends them."""
    button(page, "Hi, my name is Alice.").click()
    expect(box(page)).to_be_focused()
    box(page).press("Enter")
    expect(messages(page).last).to_contain_text("Nice to meet you, Alice.")
