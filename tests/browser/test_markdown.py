"""Answers as Markdown: code, copying, hostile text, and texts that grow."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.steps import button, chats, messages, notice, open_chat, store, talk
from tests.chat_app import RECALL, ChatApp

SAMPLE, HOSTILE = (Path(__file__).with_name("data").joinpath(name).read_text() for name in ("sample.md", "hostile.md"))
UNFINISHED = SAMPLE.partition("[reference]:")[0]
"""The sample without its last line, on which a text before it depends."""


@pytest.fixture
def answered(app: ChatApp, user: str, page: Page) -> Page:
    store(app.url, user, f"{user} 1", HumanMessage("Show me"), AIMessage(SAMPLE))
    open_chat(page, f"{user} 1")
    return page


def test_markdown(answered: Page) -> None:
    """Its elements, with headings that begin below those of the page and leave out none."""
    body = messages(answered).last
    levels = body.evaluate("one => [...one.querySelectorAll('h1,h2,h3,h4,h5,h6')].map((h) => h.tagName)")
    assert levels == ["H3", "H4"]
    for selector, count in (
        ("ol > li", 3),
        ("ul ul, ol ul", 1),
        ("td", 2),
        ("blockquote", 1),
        ("del", 1),
        (".task", 2),
    ):
        expect(body.locator(selector)).to_have_count(count)
    expect(body.locator("a")).to_have_count(2)
    for link in body.locator("a").all():
        assert link.get_attribute("rel") == "noopener noreferrer"
        assert link.get_attribute("target") == "_blank"
    expect(body.get_by_text("<div>shown as it is</div>")).to_be_visible()
    expect(body.locator("div div div")).to_have_count(0)
    expect(body.locator(".code .hljs-keyword").first).to_be_visible()


def test_copy(context: BrowserContext, answered: Page) -> None:
    """A block of code, without what is around it; an answer, as the model wrote it."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    answered.locator(".code", has_text="answer()").get_by_role("button", name="Copy").click()
    assert answered.evaluate("navigator.clipboard.readText()") == (
        "def answer() -> int:\n    return 42  # <b>not bold</b>"
    )
    expect(answered.locator(".copy-code", has_text="Copied")).to_have_count(1)
    answered.locator(".turn").last.locator("footer").get_by_role("button", name="Copy").click()
    assert answered.evaluate("navigator.clipboard.readText()") == SAMPLE


def test_a_copy_that_is_refused(answered: Page) -> None:
    """The user is told, and nothing claims to be copied."""
    refuse = "() => { navigator.clipboard.writeText = () => Promise.reject(new DOMException('', 'NotAllowedError')) }"
    answered.evaluate(refuse)
    answered.locator(".code", has_text="answer()").get_by_role("button", name="Copy").click()
    expect(notice(answered)).to_contain_text("copy it yourself")
    expect(answered.locator(".copy-code", has_text="Copied")).to_have_count(0)


def test_hostile_markdown(app: ChatApp, user: str, page: Page) -> None:
    """It is text: nothing runs, nothing is loaded, nothing looks like a part of the page."""
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    store(app.url, user, f"{user} 1", HumanMessage(HOSTILE), AIMessage(HOSTILE))
    open_chat(page, f"{user} 1")
    talk(page, RECALL)  # the model repeats what was said, so it is hostile while it grows
    page.get_by_label("Search all chats").fill("onerror")
    expect(page.locator("#hits mark").first).to_be_visible()
    found = page.evaluate(
        """() => {
            const bad = "script, img, iframe, style, math, form, input, [id], [style], [onclick], [onerror], [onload]";
            const hrefs = [...document.querySelectorAll(".body a")].map((one) => one.protocol);
            return [document.querySelectorAll(`.turn ${bad.replaceAll(", ", ", .turn ")}`).length, hrefs];
        }"""
    )
    assert found[0] == 0
    assert set(found[1]) == {"https:"}
    assert page.evaluate("typeof hacked") == "undefined"
    assert all(url.startswith((app.address, "data:")) for url in loaded)


def test_titles_are_text(page: Page) -> None:
    evil = '<img src=x onerror="window.hacked=1">'
    talk(page, evil)
    expect(chats(page)).to_have_text([evil])
    expect(page.get_by_role("heading", level=1)).to_have_text(evil)
    assert page.locator("nav img, header img, main img").count() == 0


def test_code_in_a_question(page: Page) -> None:
    """What is typed is shown as it was, but for blocks of code."""
    talk(page, "See *this*:\n```python\nprint('<b>')\n```\nand\n  more")
    expect(messages(page).first.locator("pre")).to_have_text("print('<b>')")
    expect(messages(page).first.locator(".plain")).to_have_text(["See *this*:", "and\n  more"], use_inner_text=True)


def test_tools_and_thoughts(app: ChatApp, user: str, page: Page) -> None:
    """An agent's run is one answer, with its steps to open."""
    call = {"name": "weather", "args": {"city": "Lima"}, "id": "call 1"}
    thought = {"type": "reasoning", "reasoning": "I should look."}
    store(
        *(app.url, user, f"{user} 1", HumanMessage("How is the weather?")),
        AIMessage([thought, {"type": "text", "text": "Let me see."}], tool_calls=[call]),
        ToolMessage("18 °C, cloudy", tool_call_id="call 1"),
        AIMessage("It is **18 °C** and cloudy."),
    )
    open_chat(page, f"{user} 1")
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator(".turn.answer .markdown")).to_have_text(["Let me see.", "It is 18 °C and cloudy."])
    page.get_by_text("weather", exact=True).click()
    expect(page.get_by_label("What the tool was given")).to_contain_text("Lima")
    expect(page.get_by_label("What the tool returned")).to_have_text("18 °C, cloudy")
    page.get_by_text("Thoughts").click()
    expect(page.get_by_text("I should look.")).to_be_visible()


GROWING = """async ([text, step]) => {
    const { LiveText } = await import("/static/js/livetext.js");
    const settled = [];
    const [grown, whole] = [document.createElement("div"), document.createElement("div")];
    const live = new LiveText(grown, (one) => settled.push(one));
    let first = null;
    let kept = true;
    for (let at = 1; at < text.length; at += step) {
        live.write(text.slice(0, at));
        first ??= grown.childNodes.length > 5 ? grown.firstChild : null;
        kept &&= first === null || grown.firstChild === first;
    }
    live.end(text);
    new LiveText(whole, () => {}).end(text);
    const same = grown.innerHTML === whole.innerHTML;
    return { same, kept, settled: settled.length, blocks: whole.childNodes.length };
}"""


@pytest.mark.parametrize("step", [1, 40])
@pytest.mark.parametrize("name", ["sample", "hostile"])
def test_a_text_that_grows(page: Page, name: str, step: int) -> None:
    """At its end it is what it would be had it come at once; on the way what has settled stays the same element."""
    text = {"sample": UNFINISHED, "hostile": HOSTILE}[name]
    found = page.evaluate(GROWING, [text, step])
    assert (found["same"], found["kept"]) == (True, True)
    assert 0 < found["settled"] <= found["blocks"] + 2


def test_a_reference_that_is_defined_at_the_end(page: Page) -> None:
    assert page.evaluate(GROWING, [SAMPLE, 5])["same"]


def test_a_long_answer_stays_fast(page: Page) -> None:
    """The last chunk of 100,000 characters costs about as much as the first."""
    times = page.evaluate(
        """async (block) => {
            const { LiveText } = await import("/static/js/livetext.js");
            const element = document.body.appendChild(document.createElement("div"));
            const live = new LiveText(element, () => {});
            let text = "";
            const times = [];
            while (text.length < 100_000) {
                for (const word of block.split(/(?<= )/)) text += word;
                const start = performance.now();
                live.write(text + "a");
                times.push(performance.now() - start);
            }
            element.remove();
            return times;
        }""",
        UNFINISHED,
    )
    tenth = len(times) // 10
    early, late = (
        min(times[tenth : 2 * tenth]),
        min(times[-tenth:]),
    )  # the least: what others do on the machine is not in it
    assert late < 3 * early + 1


def test_a_long_block_of_code(page: Page) -> None:
    """While it grows, what is new is appended; at its end it has colours."""
    started = time.monotonic()
    found = page.evaluate(
        """async () => {
            const { LiveText } = await import("/static/js/livetext.js");
            const element = document.createElement("div");
            const live = new LiveText(element, () => {});
            const lines = "value = call(1)  # a line of code\\n".repeat(800);
            let pre = null;
            let kept = true;
            for (let at = 0; at <= lines.length; at += 60) {
                live.write("```python\\n" + lines.slice(0, at));
                pre ??= element.querySelector("pre");
                kept &&= pre === element.querySelector("pre");
            }
            const plain = element.querySelectorAll(".hljs-number").length;
            live.end("```python\\n" + lines + "```\\n");
            const code = element.querySelector("code");
            const coloured = element.querySelectorAll(".hljs-number").length;
            return { kept, plain, coloured, same: code.textContent === lines.trimEnd() };
        }"""
    )
    assert found["kept"]
    assert found["same"]
    assert found["plain"] < found["coloured"] == 800
    assert time.monotonic() - started < 10
    expect(button(page, "New chat")).to_be_visible()
