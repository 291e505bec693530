"""The chat application over HTTP: real uvicorn, the embedded server, and processes that are killed."""

from __future__ import annotations

import importlib
import os
import signal
import stat
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi.testclient import TestClient
from langchain_core.messages import AIMessage, HumanMessage

import chatmem
import chatmem.sync
from chatmem.embedded.server import default_folder
from tests.chat_app import LONG, RECALL, ROOT, ChatApp, is_healthy, running
from tests.chat_client import ChatClient, signed_in, text_of
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
async def user(app: ChatApp) -> AsyncIterator[ChatClient]:
    async with signed_in(app.address) as client:
        yield client


class TestTalking:
    async def test_an_answer_comes_in_parts_and_is_stored(self, user: ChatClient) -> None:
        """The parts add up to what is then read, which the last one has whole. The chat has a title."""
        begun = await user.new("Hi, my name is Alice.")
        parts = await user.chunks(begun)
        assert len(parts) > 3
        chat = begun["session_id"]
        said = "".join(text_of(message) for _, part in parts[:-1] for message in part["messages"])
        (whole,) = map(text_of, parts[-1][1]["messages"])
        assert whole.startswith(said)
        assert await user.texts(chat) == ["Hi, my name is Alice.", whole]
        assert await user.ask(chat, "What is my name?") == "Your name is Alice."
        assert await user.titles() == ["Hi, my name is Alice."]

    async def test_a_reader_that_goes(self, user: ChatClient) -> None:
        """The answer is written to its end all the same; who comes back reads on from where it was."""
        chat = await user.started(LONG)
        begun = await user.send(chat, RECALL)
        async with user.following(begun) as events:
            cursor = (await anext(events))[0]
            seen = (await anext(events))[0]
        async with user.following(begun, headers={"last-event-id": cursor}) as events:
            assert (await anext(events))[0] >= seen
        status, text = await user.end(begun)
        assert (status, "word59" in text) == ("complete", True)

    async def test_any_text_comes_back(self, user: ChatClient) -> None:
        """Markup, NUL, emoji, line separators."""
        text = "<img src=x onerror=alert(1)> \x00 🎉 \u2028 \r\n e\u0301"
        chat = await user.started(text)
        assert (await user.texts(chat))[0] == text

    async def test_a_message_that_is_too_large(self, user: ChatClient) -> None:
        chat = await user.started()
        sent = await user.http.post(f"/chats/{chat}/messages", json={"text": "x" * 1_100_000})
        assert sent.status_code in (413, 422)
        assert len(await user.texts(chat)) == 2

    async def test_a_second_tab_sees_what_happens(self, app: ChatApp, user: ChatClient) -> None:
        """From another connection: a change of the chat and of the list, and the answer that another tab asked for."""
        chat = await user.started()
        version = (await user.json("GET", f"/chats/{chat}"))["version"]
        async with user.streaming(f"/chats/{chat}/changes", after=version) as events:
            begun = await user.send(chat, "And?")
            assert (await anext(events))[1]["version"] > version
            (running,) = (await user.json("GET", f"/chats/{chat}"))["answers"]
            assert running["id"] == begun["answer"]
        assert (await user.end(begun))[0] == "complete"
        async with user.streaming("/changes") as events, anyio.create_task_group() as tasks:

            async def rename() -> None:
                while True:
                    await anyio.sleep(0.2)
                    await user.json("PATCH", f"/chats/{chat}", json={"title": f"New {uuid.uuid4()}"})

            tasks.start_soon(rename)
            _, change = await anext(events)
            tasks.cancel_scope.cancel()
        assert (change["kind"], change["session_id"]) == ("title", chat)


class TestKilled:
    async def test_between_two_turns(self) -> None:
        """The application goes on where it was: the same chat, the same user, the same memory."""
        with embedded() as url, running(url) as app:
            async with signed_in(app.address) as user:
                chat = await user.started("I am Alice.")
                app.kill()
                app.start()
                assert (await user.texts(chat))[0] == "I am Alice."
                assert await user.ask(chat, "What is my name?") == "Your name is Alice."
                assert await user.titles() == ["I am Alice."]


class TestUsers:
    async def test_nobody_is_let_in_without_a_name(self, app: ChatApp, user: ChatClient) -> None:
        """Without a cookie, and with one that another secret or nobody signed."""
        cookie = user.http.cookies["chatmem_demo"]
        for cookies in ({}, {"chatmem_demo": cookie[:-1] + "!"}, {"chatmem_demo": cookie.split(".")[0]}):
            async with httpx.AsyncClient(base_url=app.address, cookies=cookies, trust_env=False) as http:
                for path in ("/me", "/chats", "/search?q=x"):
                    assert (await http.get(path)).status_code == 401

    def test_the_cookie_is_for_this_site_and_no_script(self, app: ChatApp) -> None:
        signed = httpx.post(f"{app.address}/sign-in", json={"name": "Alice"}, trust_env=False)
        assert "httponly; samesite=strict" in signed.headers["set-cookie"]

    async def test_signing_out(self, user: ChatClient) -> None:
        assert (await user.http.post("/sign-out")).status_code == 204
        assert (await user.http.get("/me")).status_code == 401

    async def test_nobody_sees_anothers_chat(self, app: ChatApp, user: ChatClient) -> None:
        """Nor finds it."""
        chat = await user.started("Secret plans")
        async with signed_in(app.address) as stranger:
            for end in ("", "/messages", "/branches", "/search?q=secret"):
                assert (await stranger.http.get(f"/chats/{chat}{end}")).status_code == 404
            assert await stranger.titles() == []
            assert await stranger.json("GET", "/search", params={"q": "secret"}) == []


class TestReading:
    async def test_a_long_chat_page_by_page(self, url: str, app: ChatApp) -> None:
        """From the newest back to the first, nothing twice and nothing left out."""
        async with signed_in(app.address, "pages") as user:
            chat = str(uuid.uuid4())
            with chatmem.sync.connect(url, ttl=600) as memory:
                memory.history(chat, user="pages").append(*(HumanMessage(str(number)) for number in range(120)))
            page, sizes = await user.page(chat), []
            texts: list[str] = []
            while True:
                sizes.append(len(page["entries"]))
                texts += [one["message"]["content"] for one in page["entries"]]
                if page["next"] is None:
                    break
                page = await user.page(chat, before=page["next"])
            assert (sizes, texts) == ([50, 50, 20], [str(number) for number in reversed(range(120))])

    async def test_what_others_stored_does_not_break_a_page(self, url: str, app: ChatApp) -> None:
        """Lone surrogates, content blocks, no title."""
        async with signed_in(app.address, "others") as user:
            with chatmem.sync.connect(url, ttl=600) as memory:
                history = memory.history("from elsewhere", user="others")
                history.append(HumanMessage("\ud800 lone"), AIMessage([{"type": "text", "text": "in blocks"}]))
            assert await user.titles() == [None]
            assert await user.texts("from elsewhere") == ["? lone", "in blocks"]
            found = await user.json("GET", "/search", params={"q": "lone"})
            assert [match["entry"]["seq"] for match in found] == [0]


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
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert "127.0.0.1" not in answer.text
        assert "<title>chatmem" in alone.get("/").text


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

    async def test_it_prints_its_address_and_ends_at_ctrl_c(self, url: str, demo: subprocess.Popen[str]) -> None:
        """An answer that is being written is kept as far as it came, and marked."""
        assert demo.stdout is not None
        address = demo.stdout.readline().split()[0]
        wait_until(lambda: is_healthy(address), seconds=30)
        async with signed_in(address, "demo") as user:
            chat = await user.started(LONG + LONG)
            begun = await user.send(chat, RECALL)
            said = ""
            with pytest.raises(httpx.TransportError):
                async with user.following(begun) as events:
                    for _ in range(5):
                        said += "".join(message["content"] for message in (await anext(events))[1]["messages"])
                    demo.send_signal(signal.SIGINT)
                    async for _ in events:
                        pass
        assert demo.wait(30) == 0
        with chatmem.sync.connect(url) as memory:
            (answer,) = memory.history(chat).messages(last=1)
        assert answer.text.startswith(said)
        assert answer.response_metadata["answer"] == "interrupted"

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
