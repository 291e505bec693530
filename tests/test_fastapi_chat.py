"""The chat application over HTTP: real uvicorn, the embedded server, and processes that are killed."""

from __future__ import annotations

import importlib
import json
import os
import signal
import stat
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from langchain_core.language_models.fake_chat_models import FakeListChatModel, FakeListChatModelError
from langchain_core.messages import AIMessage, HumanMessage

import chatmem
import chatmem.sync
from chatmem.embedded.server import default_folder
from tests.chat_app import LONG, RECALL, ROOT, ChatApp, User, events_of, is_healthy, running, whole
from tests.servers import embedded, free_port, wait_until


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with embedded() as url:
        yield url


@pytest.fixture(scope="module")
def app(url: str) -> Iterator[ChatApp]:
    with running(url) as app:
        yield app


@pytest.fixture
def user(app: ChatApp) -> User:
    return app.user()


def last(user: User, chat: str) -> Any:
    return user.page(chat)["messages"][-1]


class TestTalking:
    def test_an_answer_comes_in_parts_and_is_stored(self, user: User) -> None:
        """The stream says what is then read, and the chat is listed by its first words."""
        chat = user.new("Hi, my name is Alice.")
        with user.asking(chat, "Hi, my name is Alice.") as events:
            parts = list(events)
        assert len(parts) > 5
        assert parts[-1] == ("end", {"version": user.page(chat)["chat"]["version"]})
        messages = user.page(chat)["messages"]
        assert [(one["kind"], one["finished"]) for one in messages] == [("human", True), ("ai", True)]
        assert messages[1]["text"] == "".join(data for event, data in parts if event == "text")
        assert user.ask(chat, "What is my name?") == "Your name is Alice."
        assert user.titles() == ["Hi, my name is Alice."]

    def test_a_message_sent_again_is_stored_and_answered_once(self, user: User) -> None:
        """The browser made its id, so a resend after a lost reply finds it there."""
        chat, message_id = user.new(), str(uuid.uuid4())
        answered = user.ask(chat, "My name is Alice.", id=message_id)
        assert user.ask(chat, "My name is Alice.", id=message_id) == ""
        assert user.texts(chat) == ["My name is Alice.", answered]

    def test_many_resends_at_once(self, app: ChatApp, user: User) -> None:
        """Of eight at the same time one is answered."""
        chat, message_id = user.new(), str(uuid.uuid4())
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: user.ask(chat, "I am Bob.", id=message_id), range(8)))
        assert sorted(answers)[:-1] == [""] * 7
        assert user.texts(chat) == ["I am Bob.", max(answers)]

    def test_two_questions_at_once_keep_their_answers(self, user: User) -> None:
        """Each answer stands behind its question, though both grow at the same time."""
        chat = user.new()
        with user.asking(chat, "My cat is black.") as first:
            next(first)
            assert user.ask(chat, "My dog is white.").startswith("I will remember that your dog")
            assert "cat" in whole(first)
        assert [text.split()[-2:] for text in user.texts(chat)] == [
            ["is", "black."],
            ["is", "black."],
            ["is", "white."],
            ["is", "white."],
        ]

    @pytest.mark.parametrize("text", ["", " \n "])
    def test_nothing_is_no_message(self, user: User, text: str) -> None:
        chat = user.new()
        sent = user.http.post(f"/chats/{chat}/messages", json={"id": str(uuid.uuid4()), "text": text})
        assert (sent.status_code, user.texts(chat)) == (422, [])

    def test_a_message_that_is_too_large(self, user: User) -> None:
        chat = user.new()
        sent = user.http.post(f"/chats/{chat}/messages", json={"id": str(uuid.uuid4()), "text": "x" * 1_100_000})
        assert (sent.status_code, sent.json()) == (413, {"detail": "This message is too long to be stored."})
        assert user.texts(chat) == []

    def test_any_text_comes_back(self, user: User) -> None:
        """Markup, NUL, emoji, line separators; a lone surrogate, which is no text, is refused."""
        text = "<img src=x onerror=alert(1)> \x00 🎉 \u2028 \r\n e\u0301"
        chat = user.new(text)
        user.ask(chat, text)
        assert user.texts(chat)[0] == text
        body = json.dumps({"id": str(uuid.uuid4()), "text": "\ud800"})
        assert b"\\ud800" in body.encode()
        sent = user.http.post(f"/chats/{chat}/messages", content=body, headers={"content-type": "application/json"})
        assert sent.status_code == 422


class TestBrokenOff:
    def test_a_browser_that_goes_leaves_the_partial_text(self, user: User) -> None:
        """What had come is kept and marked, and the model is stopped: the answer grows no more."""
        chat = user.new()
        user.ask(chat, LONG)
        with user.asking(chat, RECALL) as events:
            said = "".join(next(events)[1] for _ in range(15))
        wait_until(lambda: last(user, chat)["text"].startswith(said))
        partial = last(user, chat)
        assert not partial["finished"]
        other = user.new()  # an answer as long takes as long as the rest of this one would have
        user.ask(other, LONG)
        assert "word59" in user.ask(other, RECALL)
        assert last(user, chat)["text"].startswith(said)
        assert "word59" not in last(user, chat)["text"]
        assert not last(user, chat)["finished"]

    def test_the_first_words_are_kept_too(self, user: User) -> None:
        """A browser that goes before anything is stored for the first time leaves what it saw."""
        chat = user.new()
        user.ask(chat, LONG)
        with user.asking(chat, RECALL) as events:
            said = "".join(next(events)[1] for _ in range(2))
        wait_until(lambda: last(user, chat)["text"].startswith(said))
        assert not last(user, chat)["finished"]

    def test_it_is_stored_while_it_grows(self, user: User) -> None:
        """Another reader sees more and more of it, unfinished, before it ends."""
        chat = user.new()
        user.ask(chat, LONG)
        seen: list[str] = []
        with user.asking(chat, RECALL) as events:
            for _ in events:
                one = last(user, chat)
                if not one["finished"] and one["text"] not in seen:
                    seen.append(one["text"])
        assert len(seen) > 5
        assert all(later.startswith(earlier) for earlier, later in pairwise(seen))
        assert last(user, chat)["finished"]

    def test_a_chat_deleted_meanwhile_stays_deleted(self, user: User) -> None:
        """The answer under way ends, says why, and brings nothing back."""
        chat = user.new()
        user.ask(chat, LONG)
        with user.asking(chat, RECALL) as events:
            next(events)
            assert user.http.delete(f"/chats/{chat}").status_code == 204
            assert list(events)[-1] == ("error", "This message has been removed, perhaps in another tab.")
        assert user.titles() == []
        assert user.http.get(f"/chats/{chat}").status_code == 404

    def test_an_answer_asked_for_anew_meanwhile(self, user: User) -> None:
        """The first one ends with an error, and only the second is there."""
        chat = user.new()
        user.ask(chat, LONG)
        with user.asking(chat, RECALL) as events:
            next(events)
            again = regenerate_until_done(user, chat, question=2)
            assert list(events)[-1][0] == "error"
        assert user.texts(chat)[2:] == [RECALL, again]

    @pytest.fixture
    async def growing(self, url: str) -> AsyncIterator[tuple[chatmem.History, AIMessage]]:
        """A chat with a question and the place of its answer."""
        async with chatmem.connect(url, ttl=600) as memory:
            history, place = memory.history(str(uuid.uuid4())), AIMessage("", id="answer")
            await history.append("What did I say?", place)
            yield history, place

    async def test_a_model_that_fails(self, growing: tuple[chatmem.History, AIMessage]) -> None:
        """Its error goes on, to the log; what it said before is kept."""
        answers: Any = importlib.import_module("examples.fastapi_chat.answers")
        history, place = growing
        model = FakeListChatModel(responses=["Yes, and no"], error_on_chunk_number=5)
        with pytest.raises(FakeListChatModelError):
            async for _ in answers.answer(history, model, [HumanMessage("x")], place):
                pass
        (_, kept) = await history.messages()
        assert (kept.text, answers.is_finished(kept)) == ("Yes, ", False)

    async def test_an_answer_that_is_closed(self, growing: tuple[chatmem.History, AIMessage]) -> None:
        """When `aclose` has returned, what was said is stored; an answer that was read to its end stays whole."""
        answers: Any = importlib.import_module("examples.fastapi_chat.answers")
        history, place = growing
        for count, said, finished in ((3, "Yes", False), (12, "Yes, and no", True)):
            events = answers.answer(history, FakeListChatModel(responses=["Yes, and no"]), [HumanMessage("x")], place)
            for _ in range(count):
                await anext(events)
            await events.aclose()
            (_, kept) = await history.messages()
            assert (kept.text, answers.is_finished(kept)) == (said, finished)


def regenerate_until_done(user: User, chat: str, question: int) -> str:
    """Ask anew, as often as the chat changes under the request."""
    while True:
        body = {"question": question, "version": user.page(chat)["chat"]["version"]}
        try:
            with user.streaming(f"/chats/{chat}/regenerate", body) as events:
                return whole(events)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 409:
                raise


class TestKilled:
    def test_between_two_turns(self) -> None:
        """The application goes on where it was: the same chat, the same user, the same memory."""
        with embedded() as url, running(url) as app:
            user = app.user()
            chat = user.new("I am Alice.")
            first = user.ask(chat, "I am Alice.")
            app.kill()
            app.start()
            assert user.texts(chat) == ["I am Alice.", first]
            assert user.ask(chat, "What is my name?") == "Your name is Alice."
            assert user.titles() == ["I am Alice."]

    def test_in_the_middle_of_an_answer(self) -> None:
        """All of it but the last moment is there, marked as unfinished, and it can be asked for anew."""
        with embedded() as url, running(url) as app:
            user = app.user()
            chat = user.new()
            user.ask(chat, LONG)
            with pytest.raises(httpx.TransportError), user.asking(chat, RECALL) as events:
                said = "".join(next(events)[1] for _ in range(30))
                app.kill()
                said += "".join(data for _, data in events)
            app.start()
            partial = last(user, chat)
            assert not partial["finished"]
            assert said.startswith(partial["text"])
            assert len(partial["text"].split()) > 15  # of 30 words, those of the last 0.2 s may be missing
            again = regenerate_until_done(user, chat, question=2)
            assert again.startswith(said)
            assert user.texts(chat)[2:] == [RECALL, again]


class TestChanging:
    def test_regenerate(self, user: User) -> None:
        """Another answer stands in the place of the first, and of all behind it."""
        chat = user.new()
        for text in ("I am Alice.", "What is my name?", "Thanks"):
            user.ask(chat, text)
        version = user.page(chat)["chat"]["version"]
        with user.streaming(f"/chats/{chat}/regenerate", {"question": 2, "version": version}) as events:
            assert whole(events) == "Your name is Alice."
        assert user.texts(chat)[2:] == ["What is my name?", "Your name is Alice."]

    def test_regenerate_what_has_changed(self, user: User) -> None:
        """Another tab was faster: 409, and nothing is removed."""
        chat = user.new()
        user.ask(chat, "I am Alice.")
        version = user.page(chat)["chat"]["version"]
        user.ask(chat, "And I live in Lima.")
        before = user.texts(chat)
        sent = user.http.post(f"/chats/{chat}/regenerate", json={"question": 0, "version": version})
        assert sent.status_code == 409
        assert "another tab" in sent.json()["detail"]
        assert user.texts(chat) == before

    @pytest.mark.parametrize("question", [1, 99])
    def test_regenerate_what_is_no_question(self, user: User, question: int) -> None:
        chat = user.new()
        user.ask(chat, "I am Alice.")
        version = user.page(chat)["chat"]["version"]
        body = {"question": question, "version": version}
        assert user.http.post(f"/chats/{chat}/regenerate", json=body).status_code == 404
        assert len(user.texts(chat)) == 2

    def test_edit_a_question(self, user: User) -> None:
        """The old question and its answer are kept, also if the edit is sent again; a switch shows them."""
        chat, again = user.new(), str(uuid.uuid4())
        for text in ("I am Alice.", "What is my name?"):
            user.ask(chat, text)
        before = user.texts(chat)
        user.ask(chat, "I am Bob.", after=-1, id=again)
        user.ask(chat, "I am Bob.", after=-1, id=again)
        assert len(user.texts(chat)) == 2
        assert user.ask(chat, "What is my name?") == "Your name is Bob."
        siblings = user.page(chat)["messages"][0]["siblings"]
        assert siblings == {"index": 1, "branches": [0, 1]}
        assert user.http.put(f"/chats/{chat}/branch", json={"branch": 0}).status_code == 204
        assert user.texts(chat) == before
        for branch, status in ((99, 404), (-1, 422)):
            assert user.http.put(f"/chats/{chat}/branch", json={"branch": branch}).status_code == status

    def test_rate_an_answer(self, user: User) -> None:
        """The chat keeps its version, so that no other tab reads it anew for that."""
        chat = user.new()
        user.ask(chat, "I am Alice.")
        version = user.page(chat)["chat"]["version"]
        for rating in ("up", "down", None):
            assert user.http.put(f"/chats/{chat}/messages/1/rating", json={"rating": rating}).status_code == 204
            page = user.page(chat)
            assert [one["rating"] for one in page["messages"]] == [None, rating]
            assert page["chat"]["version"] == version
        assert user.http.put(f"/chats/{chat}/messages/1/rating", json={"rating": "?"}).status_code == 422
        assert user.http.put(f"/chats/{chat}/messages/99/rating", json={"rating": "up"}).status_code == 404

    def test_a_second_tab_sees_what_happens(self, app: ChatApp, user: User) -> None:
        """Each change, in its order, from another request, and from a version that was known."""
        chat = user.new()
        user.ask(chat, "Hi")
        version = user.page(chat)["chat"]["version"]
        with user.http.stream("GET", f"/chats/{chat}/changes", params={"after": version}) as response:
            events = events_of(response)
            user.http.put(f"/chats/{chat}/messages/1/rating", json={"rating": "up"}).raise_for_status()
            user.ask(chat, "And now?")
            assert next(events) == ("annotated", {"version": version})
            kinds, last = [], version
            while last < user.page(chat)["chat"]["version"]:
                kind, data = next(events)
                assert data["version"] >= last
                kinds.append(kind)
                last = data["version"]
        assert kinds[0] == "appended"
        assert set(kinds[1:]) == {"replaced"}  # the answer, as it grows

    def test_rename_and_delete(self, user: User) -> None:
        chat, kept = user.new("One"), user.new("Two")
        assert user.http.patch(f"/chats/{chat}", json={"title": " New "}).status_code == 204
        assert user.http.patch(f"/chats/{chat}", json={"title": " "}).status_code == 422
        assert sorted(user.titles()) == ["New", "Two"]
        assert user.http.patch(f"/chats/{chat}", json={"archived": True, "pinned": True}).status_code == 204
        assert user.titles() == ["Two"]
        (archived,) = user.http.get("/chats", params={"archived": True}).json()["chats"]
        assert (archived["title"], archived["archived"], archived["pinned"]) == ("New", True, True)
        assert user.http.patch(f"/chats/{chat}", json={"archived": False}).status_code == 204
        assert user.http.delete(f"/chats/{chat}").status_code == 204
        assert user.titles() == ["Two"]
        assert user.http.get(f"/chats/{kept}").status_code == 200


class TestUsers:
    def test_nobody_is_let_in_without_a_name(self, app: ChatApp, user: User) -> None:
        """Without a cookie, and with one that another secret or nobody signed."""
        cookie = user.http.cookies["chatmem_demo"]
        for cookies in ({}, {"chatmem_demo": cookie[:-1] + "!"}, {"chatmem_demo": cookie.split(".")[0]}):
            with httpx.Client(base_url=app.address, cookies=cookies, trust_env=False) as http:
                for path in ("/me", "/chats", "/chats/search?query=x"):
                    assert http.get(path).status_code == 401

    def test_the_cookie_is_for_this_site_and_no_script(self, app: ChatApp) -> None:
        signed = httpx.post(f"{app.address}/sign-in", json={"name": "Alice"}, trust_env=False)
        assert "httponly; samesite=strict" in signed.headers["set-cookie"]

    def test_signing_out(self, user: User) -> None:
        assert user.http.post("/sign-out").status_code == 204
        assert user.http.get("/me").status_code == 401

    def test_nobody_sees_or_touches_anothers_chat(self, app: ChatApp, user: User) -> None:
        """Each route says 404, as of a chat that never was, and nothing has changed."""
        chat = user.new("Secret plans")
        user.ask(chat, "Secret plans")
        before = user.page(chat)
        stranger = app.user().http
        message = {"id": str(uuid.uuid4()), "text": "x"}
        for path in (f"/chats/{chat}", f"/chats/{uuid.uuid4()}"):
            for method, end, body in (
                ("GET", "", None),
                ("GET", "/messages", None),
                ("POST", "/messages", message),
                ("POST", "/regenerate", {"question": 0, "version": before["chat"]["version"]}),
                ("PATCH", "", {"title": "x"}),
                ("DELETE", "", None),
            ):
                answer = stranger.request(method, path + end, json=body)
                assert (answer.status_code, answer.json()) == (404, {"detail": "There is no such chat."})
        assert stranger.get("/chats").json() == {"chats": [], "next": None}
        assert stranger.get("/chats/search", params={"query": "secret"}).json() == []
        assert user.page(chat) == before


class TestReading:
    def test_a_long_chat_page_by_page(self, url: str, app: ChatApp) -> None:
        """From the newest back to the first, nothing twice and nothing left out."""
        user = app.user("pages")
        chat = user.new()
        with chatmem.sync.connect(url, ttl=600) as memory:
            memory.history(chat, user="pages").append(*(HumanMessage(str(number)) for number in range(120)))
        page, sizes = user.page(chat), []
        texts: list[str] = []
        while True:
            sizes.append(len(page["messages"]))
            texts = [one["text"] for one in page["messages"]] + texts
            if page["next"] is None:
                break
            page = user.page(chat, before=page["next"])
        assert (sizes, texts) == ([50, 50, 20], [str(number) for number in range(120)])

    def test_many_chats_page_by_page(self, user: User) -> None:
        made = [user.new(str(number)) for number in range(35)]
        first = user.http.get("/chats").json()
        rest = user.http.get("/chats", params={"before": first["next"]}).json()
        assert [one["session_id"] for one in first["chats"] + rest["chats"]] == made[::-1]
        assert rest["next"] is None
        assert user.http.get("/chats", params={"before": "junk"}).status_code == 422

    def test_search_marks_what_it_found(self, user: User) -> None:
        """In pieces, so that characters beyond 16 bits shift no mark; long texts are cut around the first one."""
        chat = user.new()
        user.ask(chat, "🎉" * 100 + " Lima is " + "far " * 100)
        (hit,) = [hit for hit in user.http.get("/chats/search?query=LIMA").json() if hit["kind"] == "human"]
        assert (hit["session_id"], hit["seq"]) == (chat, 0)
        assert [part["text"] for part in hit["parts"] if part["found"]] == ["Lima"]
        text = "".join(part["text"] for part in hit["parts"])
        assert text.startswith("…🎉")
        assert text.endswith("…")
        assert 200 < len(text) < 250

    @pytest.mark.parametrize("query", ["", " ", "!?"])
    def test_a_search_for_no_word(self, user: User, query: str) -> None:
        answer = user.http.get("/chats/search", params={"query": query})
        assert answer.status_code == 422
        assert "query" in str(answer.json()["detail"])

    def test_what_others_stored_does_not_break_the_page(self, url: str, app: ChatApp) -> None:
        """Lone surrogates, content blocks, no title: shown as well as may be."""
        user = app.user("others")
        with chatmem.sync.connect(url, ttl=600) as memory:
            history = memory.history("from elsewhere", user="others")
            history.append(HumanMessage("\ud800 lone"), AIMessage([{"type": "text", "text": "in blocks"}]))
        assert user.titles() == ["Untitled"]
        assert user.texts("from elsewhere") == ["? lone", "in blocks"]
        assert [hit["seq"] for hit in user.http.get("/chats/search?query=lone").json()] == [0]


class TestWithoutServers:
    @pytest.fixture
    def alone(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
        """The application on a memory that nobody serves."""
        monkeypatch.setenv("CHATMEM_URL", f"redis://127.0.0.1:{free_port()}")
        monkeypatch.setenv("CHATMEM_DEMO_SECRET", "of the tests")
        app = importlib.import_module("examples.fastapi_chat.app").app
        with TestClient(app, base_url="http://localhost") as client:
            yield client

    def test_a_memory_that_does_not_answer(self, alone: TestClient) -> None:
        """503 with a text for people, which names no address; the page itself is there."""
        alone.post("/sign-in", json={"name": "Alice"})
        for path in ("/healthz", "/chats", "/chats/x/messages"):
            answer = alone.get(path)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.json() == {"detail": "The memory does not answer. Try again in a moment."}
        assert "<title>chatmem chat</title>" in alone.get("/").text

    def test_each_error_has_a_status(self) -> None:
        errors = importlib.import_module("examples.fastapi_chat.errors")
        leaves = [kind for kind in vars(chatmem).values() if isinstance(kind, type) and issubclass(kind, Exception)]
        assert {kind.__name__: errors.explain(kind("x"))[0] for kind in leaves} == {
            "ChatMemError": 500,
            "ConflictError": 409,
            "CorruptRecordError": 500,
            "DuplicateIdError": 409,
            "EncodingError": 422,
            "MessageTooLargeError": 413,
            "NotFoundError": 404,
            "NotYoursError": 404,
            "TornSessionError": 500,
            "UnavailableError": 503,
            "UnsupportedError": 501,
        }


class TestSecret:
    def test_it_is_made_once_for_its_owner_alone(self, tmp_path: Path) -> None:
        """Eight processes at once agree on one, which is long and can be read by nobody else."""
        environment = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
        script = "from examples.fastapi_chat.secret import secret; print(secret())"
        command = [sys.executable, "-c", script]
        with ThreadPoolExecutor(8) as pool:
            run = lambda _: subprocess.check_output(command, cwd=ROOT, env=environment, text=True)
            (secret,) = set(pool.map(run, range(8)))
        assert len(secret.strip()) == 64
        (kept,) = tmp_path.rglob("demo.secret")
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert [path.name for path in kept.parent.iterdir()] == ["demo.secret"]

    def test_the_variable_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CHATMEM_DEMO_SECRET", "given")
        assert importlib.import_module("examples.fastapi_chat.secret").secret() == "given"
        assert default_folder().name == "chatmem"


class TestDemo:
    @pytest.fixture
    def demo(self, url: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "chatmem.cli", "demo", "--port", "0", "--url", url]
        environment = {**os.environ, "CHATMEM_DEMO_SECRET": "of the tests"}
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
            yield process
            process.kill()

    def test_it_prints_its_address_and_ends_at_ctrl_c(self, url: str, demo: subprocess.Popen[str]) -> None:
        """An answer under way is kept as far as it came."""
        assert demo.stdout is not None
        address = demo.stdout.readline().split()[0]
        wait_until(lambda: is_healthy(address), seconds=30)
        user = User(address, "demo")
        with closing(user.http):
            chat = user.new()
            user.ask(chat, LONG + LONG)
            with pytest.raises(httpx.TransportError), user.asking(chat, RECALL) as events:
                said = "".join(next(events)[1] for _ in range(10))
                demo.send_signal(signal.SIGINT)
                list(events)
        assert demo.wait(30) == 0
        with chatmem.sync.connect(url) as memory:
            (answer,) = memory.history(chat).messages(last=1)
        assert answer.text.startswith(said)

    def test_without_the_extra(self) -> None:
        """One line that says what to install."""
        script = "import sys; sys.modules['uvicorn'] = None; from chatmem.cli import main; main()"
        command = [sys.executable, "-c", script, "demo", "--url", f"redis://127.0.0.1:{free_port()}"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (1, "error: the demo needs: pip install 'chatmem-redis[demo]'\n")

    def test_a_model_that_is_not_to_be_had(self, url: str) -> None:
        """It does not start, and says which it was."""
        pytest.importorskip("langchain")
        environment = {**os.environ, "CHATMEM_DEMO_SECRET": "of the tests", "CHATMEM_DEMO_MODEL": "nobody:nothing"}
        command = [sys.executable, "-m", "chatmem.cli", "demo", "--port", "0", "--url", url]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: model nobody:nothing: ")
        assert done.stderr.count("\n") == 1

    def test_where_nothing_can_listen(self, url: str, app: ChatApp) -> None:
        port = app.address.rpartition(":")[2]
        command = [sys.executable, "-m", "chatmem.cli", "demo", "--port", port, "--url", url]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert "address already in use" in done.stderr.lower()
