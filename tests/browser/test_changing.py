"""What a user changes: questions, answers, branches, ratings; and chats: titles, pins, the archive, deletion."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.steps import at_rest, button, chats, choose, messages, new_chat, notice, talk


def edit(page: Page, index: int, text: str) -> None:
    """Edit the question that stands at an index among the messages."""
    turn = page.locator(".turn").nth(index)
    turn.hover()
    button(turn, "Edit").click()
    page.get_by_label("Edit your message").fill(text)
    page.get_by_label("Edit your message").press("Enter")


def version(page: Page) -> str:
    return page.locator(".walker .unseen").first.inner_text()


def test_edit_and_walk_between_versions(context: BrowserContext, page: Page) -> None:
    """An edited question keeps the old one, and what followed it; another tab shows what this one chose."""
    talk(page, "Hi, I'm Alice.")
    talk(page, "What is my name?")
    edit(page, 0, "Hi, I'm Bob.")
    expect(messages(page)).to_have_count(2)
    expect(messages(page).last).to_contain_text("Nice to meet you, Bob.")
    at_rest(page)
    edit(page, 0, "Hi, I'm Carol.")
    expect(messages(page).last).to_contain_text("Nice to meet you, Carol.")
    at_rest(page)
    expect(page.locator(".walker .count").first).to_contain_text("3 / 3")
    button(page, "Previous version").click()
    expect(messages(page).first).to_have_text("Hi, I'm Bob.")
    expect(button(page, "Previous version")).to_be_focused()
    button(page, "Previous version").press("Enter")
    expect(messages(page)).to_have_count(4)
    expect(messages(page).last).to_have_text("Your name is Alice.")
    assert version(page) == "Version 1 of 3"
    expect(button(page, "Previous version")).to_be_disabled()
    other = context.new_page()
    other.goto(page.url)
    expect(messages(other).last).to_have_text("Your name is Alice.")
    page.bring_to_front()
    button(page, "Next version").click()
    expect(messages(other).first).to_have_text("Hi, I'm Bob.")
    expect(messages(other)).to_have_count(2)


def test_edit_a_later_question(page: Page) -> None:
    """What stands before it stays; Escape leaves all as it was."""
    talk(page, "Hi, I'm Alice.")
    talk(page, "My cat is black.")
    page.locator(".turn").nth(2).hover()
    button(page.locator(".turn").nth(2), "Edit").click()
    page.get_by_label("Edit your message").fill("nothing")
    page.get_by_label("Edit your message").press("Escape")
    expect(messages(page).nth(2)).to_have_text("My cat is black.")
    edit(page, 2, "What is my name?")
    expect(messages(page).last).to_have_text("Your name is Alice.")
    expect(messages(page)).to_have_count(4)
    at_rest(page)
    expect(page.locator(".walker .count")).to_contain_text(["2 / 2"])


def test_regenerate(page: Page) -> None:
    """The old answer is kept as another version."""
    talk(page, "Hi, I'm Alice.")
    talk(page, "What is my name?")
    button(page.locator(".turn").last, "Regenerate").click()
    expect(page.locator(".walker .count")).to_contain_text(["2 / 2"])
    at_rest(page)
    expect(messages(page).last).to_have_text("Your name is Alice.")
    expect(messages(page)).to_have_count(4)
    button(page, "Previous version").click()
    expect(page.locator(".walker .count")).to_contain_text(["1 / 2"])


def test_rate(context: BrowserContext, page: Page) -> None:
    """A rating is kept, seen in the other tab, changed and taken back."""
    talk(page, "Hi, I'm Alice.")
    button(page, "Good answer").click()
    page.reload()
    expect(button(page, "Good answer")).to_have_attribute("aria-pressed", "true")
    other = context.new_page()
    other.goto(page.url)
    expect(button(other, "Good answer")).to_have_attribute("aria-pressed", "true")
    button(other, "Bad answer").click()
    expect(button(other, "Bad answer")).to_have_attribute("aria-pressed", "true")
    expect(button(page, "Bad answer")).to_have_attribute("aria-pressed", "true")
    expect(button(page, "Good answer")).to_have_attribute("aria-pressed", "false")
    page.bring_to_front()
    button(page, "Bad answer").click()
    expect(button(page, "Bad answer")).to_have_attribute("aria-pressed", "false")
    page.reload()
    expect(button(page, "Bad answer")).to_have_attribute("aria-pressed", "false")


def test_rename(context: BrowserContext, page: Page) -> None:
    """The new title stands in the list and above the chat, in other tabs too; Escape changes nothing."""
    talk(page, "Hi, I'm Alice.")
    other = context.new_page()
    other.goto(page.url)
    expect(chats(other)).to_have_count(1)
    for key, title in (("Escape", "Hi, I'm Alice."), ("Enter", "Renamed")):
        choose(page, "Rename")
        page.get_by_label("Title of this chat").fill("Renamed")
        page.get_by_label("Title of this chat").press(key)
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
    for tab in (page, other):
        expect(chats(tab)).to_have_text(["Renamed"])
        expect(tab.get_by_role("heading", level=1)).to_have_text("Renamed")
    page.reload()
    expect(chats(page)).to_have_text(["Renamed"])


def test_a_change_that_cannot_be_read(context: BrowserContext, page: Page) -> None:
    """A tab that hears of a change, and is refused what changed, reads the list once the server answers again."""
    talk(page, "Hi, I'm Alice.")
    other = context.new_page()
    other.goto(page.url)
    expect(chats(other)).to_have_count(1)
    other.route(
        "**/chats/*", lambda route: route.fulfill(status=503, json={"detail": "later", "error": "", "answer": None})
    )
    choose(page, "Rename")
    page.get_by_label("Title of this chat").fill("Renamed")
    page.get_by_label("Title of this chat").press("Enter")
    expect(chats(other)).to_have_text(["Renamed"])


def test_pin(context: BrowserContext, page: Page) -> None:
    """A pinned chat stands first, in other tabs too."""
    talk(page, "My cat is black.")
    choose(page, "Pin")
    expect(page.locator("#chats h2")).to_have_text(["Pinned"])
    new_chat(page)
    talk(page, "My dog is white.")
    expect(page.locator("#chats h2")).to_have_text(["Pinned", "Today"])
    expect(chats(page)).to_have_text(["My cat is black.", "My dog is white."])
    other = context.new_page()
    other.goto("/")
    expect(chats(other)).to_have_text(["My cat is black.", "My dog is white."])
    page.bring_to_front()
    chats(page).first.click()
    choose(page, "Unpin")
    for tab in (page, other):
        expect(chats(tab)).to_have_text(["My dog is white.", "My cat is black."])


def test_archive(context: BrowserContext, page: Page) -> None:
    """It leaves the list, everywhere, can be undone at once, and is found in the archive."""
    talk(page, "My cat is black.")
    other = context.new_page()
    other.goto("/")
    expect(chats(other)).to_have_count(1)
    choose(page, "Archive")
    expect(chats(page)).to_have_count(0)
    expect(chats(other)).to_have_count(0)
    button(page, "Undo").click()
    expect(chats(page)).to_have_count(1)
    expect(chats(other)).to_have_count(1)
    choose(page, "Archive")
    expect(chats(page)).to_have_count(0)
    button(page, "Archived chats").click()
    expect(chats(page)).to_have_text(["My cat is black."])
    choose(page, "Move out of the archive")
    expect(chats(page)).to_have_count(0)
    button(page, "Back to the chats").click()
    expect(chats(page)).to_have_text(["My cat is black."])


def test_delete(page: Page) -> None:
    """It asks first; the other chat stays."""
    talk(page, "My cat is black.")
    new_chat(page)
    talk(page, "My dog is white.")
    choose(page, "Delete")
    button(page, "Cancel").click()
    expect(messages(page)).to_have_count(2)
    choose(page, "Delete")
    button(page, "Delete").click()
    expect(messages(page)).to_have_count(0)
    expect(chats(page)).to_have_text(["My cat is black."])
    page.reload()
    expect(chats(page)).to_have_text(["My cat is black."])


def test_delete_what_the_other_shows(context: BrowserContext, page: Page) -> None:
    talk(page, "Hi, I'm Alice.")
    other = context.new_page()
    other.goto(page.url)
    expect(messages(other)).to_have_count(2)
    choose(page, "Delete")
    button(page, "Delete").click()
    expect(chats(page)).to_have_count(0)
    expect(notice(other)).to_contain_text("This chat is no longer there.")
    expect(messages(other)).to_have_count(0)
    expect(chats(other)).to_have_count(0)
