"""Long chats and many of them: searching, scrolling up, scrolling down the list."""

from __future__ import annotations

import re

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from playwright.sync_api import Page, Route, expect

import chatmem.sync
from tests.browser.steps import button, chats, hold, messages, new_chat, open_chat, store, talk
from tests.chat_app import ChatApp


def long_chat(turns: int) -> list[BaseMessage]:
    def answer(number: int) -> str:
        return f"answer {number}: " + "and so on, " * 30

    return [one for n in range(turns) for one in (HumanMessage(f"question {n}"), AIMessage(answer(n)))]


def scroll(page: Page, script: str) -> float:
    return float(page.evaluate(f"() => {{ const scroll = document.getElementById('scroll'); {script} }}"))


def test_search(page: Page) -> None:
    """What is found is marked, in titles and messages; a click opens its chat there; Escape ends the search."""
    talk(page, "🎉🎉 I live in Lima.")
    new_chat(page)
    talk(page, "Nothing of the kind")
    query = page.get_by_label("Search all chats")
    query.fill("lima")
    expect(page.locator("#hits mark")).to_have_text(["Lima", "Lima", "Lima"])
    expect(page.locator("#hits h2")).to_have_text(["Chats", "Messages"])
    expect(chats(page).first).to_be_hidden()
    page.locator("#hits button").filter(has_text="You in").click()
    expect(page.locator(".turn.sought")).to_contain_text("I live in Lima.")
    assert page.evaluate("CSS.highlights.get('found').size") == 1
    query.fill("nowhere")
    expect(page.locator("#hits")).to_have_text("Nothing was found.")
    query.press("Escape")
    expect(chats(page)).to_have_count(2)
    expect(chats(page).first).to_be_visible()


def test_a_match_among_earlier_messages(app: ChatApp, user: str, page: Page) -> None:
    """The conversation is read back as far as the match is."""
    store(app.url, user, f"{user} long", HumanMessage("the very first needle"), *long_chat(80))
    page.reload()
    page.get_by_label("Search all chats").fill("needle")
    page.locator("#hits button").last.click()
    expect(page.locator(".turn.sought")).to_contain_text("the very first needle")
    expect(page.locator(".turn.sought")).to_be_in_viewport()
    expect(messages(page)).to_have_count(161)


def test_scrolling_up_keeps_the_place(app: ChatApp, user: str, page: Page) -> None:
    """Earlier messages come by themselves, and what is read does not move."""
    store(app.url, user, f"{user} long", *long_chat(100))
    open_chat(page, f"{user} long")
    expect(messages(page).last).to_be_in_viewport()
    assert 50 <= messages(page).count() < 150
    scroll(page, "scroll.scrollTop = 900; return 0")
    marked = page.locator(".turn").filter(has_text="question 7").first
    seen = page.evaluate(
        """() => {
            const scroll = document.getElementById("scroll");
            const top = scroll.getBoundingClientRect().top;
            const one = [...document.querySelectorAll(".turn")].find((one) => one.getBoundingClientRect().top > top);
            one.id = "marked";
            return [document.querySelectorAll(".turn").length, one.getBoundingClientRect().top];
        }"""
    )
    scroll(page, "scroll.scrollTop -= 300; return 0")
    expect(messages(page)).not_to_have_count(seen[0])
    place = page.evaluate("document.getElementById('marked').getBoundingClientRect().top")
    assert abs(place - (seen[1] + 300)) < 2
    for _ in range(10):
        scroll(page, "scroll.scrollTop = 0; return 0")
        page.wait_for_timeout(50)
    expect(messages(page)).to_have_count(200)
    expect(messages(page).first).to_have_text("question 0")
    assert marked.count() == 1


def test_what_comes_while_a_chat_is_read(app: ChatApp, user: str, page: Page) -> None:
    """It is seen, though nothing tells of it later."""
    store(app.url, user, f"{user} 1", *long_chat(1))
    open_chat(page, f"{user} 1")

    def write_first(route: Route) -> None:
        page.wait_for_timeout(200)  # in which the messages are read, were they asked for at once
        store(app.url, user, f"{user} 1", HumanMessage("Meanwhile"))
        route.continue_()

    page.route(re.compile(r"/chats/[^/]+$"), write_first, times=1)
    page.reload()
    expect(messages(page).last).to_have_text("Meanwhile")


def test_an_answer_leaves_a_reader_where_he_is(app: ChatApp, user: str, page: Page) -> None:
    """Who has scrolled up stays there while an answer comes, and a button leads to its end."""
    store(app.url, user, f"{user} long", *long_chat(20))
    open_chat(page, f"{user} long")
    expect(messages(page).last).to_be_in_viewport()
    page.get_by_label("Message", exact=True).fill("What did I say?")
    page.get_by_label("Message", exact=True).press("Enter")
    expect(messages(page).last).to_contain_text("You have")
    page.locator("#scroll").hover()
    page.mouse.wheel(0, -800)
    expect(page.get_by_role("button", name="Go to the newest message")).to_be_visible()
    place = scroll(page, "return scroll.scrollTop")
    expect(messages(page).last).to_contain_text("question 19")
    assert abs(scroll(page, "return scroll.scrollTop") - place) < 2
    page.get_by_role("button", name="Go to the newest message").click()
    expect(page.locator(".turn").last).to_be_in_viewport()
    expect(page.get_by_role("button", name="Go to the newest message")).to_be_hidden()


def test_a_long_list(app: ChatApp, user: str, page: Page) -> None:
    """Further chats come while one scrolls down; a chat that is written to meanwhile comes first."""
    with chatmem.sync.connect(app.url, ttl=3600, publish=True) as memory:
        for number in range(100):
            history = memory.history(f"{user} {number}", user=user)
            history.append(HumanMessage("Hi"))
            history.update(title=f"Chat {number}")
        page.reload()
        expect(chats(page).first).to_have_text("Chat 99")
        assert chats(page).count() < 100
        for _ in range(6):
            page.evaluate("document.getElementById('side-scroll').scrollTo(0, 100000)")
            page.wait_for_timeout(50)
        expect(chats(page)).to_have_count(100)
        expect(chats(page).last).to_have_text("Chat 0")
        memory.history(f"{user} 50", user=user).append(HumanMessage("Again"))
        expect(chats(page).first).to_have_text("Chat 50")
        expect(chats(page)).to_have_count(100)


def test_the_archive_is_opened_while_the_list_is_read(app: ChatApp, user: str, page: Page) -> None:
    """Each list goes on where it was."""
    with chatmem.sync.connect(app.url, ttl=3600) as memory:
        for number in range(120):
            history = memory.history(f"{user} {number}", user=user)
            history.append(HumanMessage("Hi"))
            history.update(title=f"Chat {number}", archived=number < 60)
    page.reload()
    expect(chats(page).first).to_have_text("Chat 119")
    to_end = "document.getElementById('side-scroll').scrollTo(0, 100000)"
    with page.expect_response(re.compile("before=")), hold(page, "**/*before=*", "GET"):
        with page.expect_request(re.compile("before=")):
            page.evaluate(to_end)
        button(page, "Archived chats").click()
        expect(chats(page).first).to_have_text("Chat 59")
    for _ in range(6):
        page.evaluate(to_end)
        page.wait_for_timeout(50)
    expect(chats(page)).to_have_count(60)
