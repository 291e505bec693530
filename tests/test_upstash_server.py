"""The REST server of our own satisfies the vendor's own clients: else what chatmem does over it would prove nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import upstash_redis
import upstash_redis.asyncio
from upstash_redis.errors import UpstashError

from tests.upstash_server import TOKEN, RestServer, serving, upstash

TEXT = 'naïve 日本 \U0001f600 \x00 " \\ \n OK'


@pytest.fixture
def rest(url: str) -> Iterator[RestServer]:
    with serving(url) as server:
        yield server


@pytest.fixture
def key(url: str) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    with redis.Redis.from_url(url) as raw:
        raw.unlink(name, f"{name}:n", f"{name}:l", f"{name}:h")


def run(batch: Any, *commands: list[str]) -> Any:
    for command in commands:
        batch.execute(command)
    return batch.exec()


@pytest.mark.parametrize("encoding", ["base64", None])
def test_pythons_blocking_client(rest: RestServer, key: str, encoding: Any) -> None:
    """Its commands, pipelines and transactions give what Redis gives, with answers in base64 or not."""
    with upstash_redis.Redis(rest.url, TOKEN, rest_encoding=encoding) as client:
        assert client.ping() == "PONG"
        assert client.set(key, TEXT)
        assert client.get(key) == TEXT
        assert client.get(f"{key}:none") is None
        assert client.incrby(f"{key}:n", 7) == 7
        assert client.rpush(f"{key}:l", "a", "OK", "") == 3
        assert client.lrange(f"{key}:l", 0, -1) == ["a", "OK", ""]
        assert client.hset(f"{key}:h", values={"a": 1, "b": 1.5}) == 2
        assert client.hgetall(f"{key}:h") == {"a": "1", "b": "1.5"}
        assert client.eval("return {1, {ARGV[1], false}, redis.status_reply('FINE')}", args=["x"]) == [
            1,
            ["x", None],
            "FINE",
        ]
        for batch, path in ((client.pipeline(), "/pipeline"), (client.multi(), "/multi-exec")):
            batch.set(key, "é").get(key).llen(f"{key}:l")
            assert batch.exec() == [True, "é", 3]
            assert rest.requests[-1] == (path, ["SET", "GET", "LLEN"])


async def test_pythons_asyncio_client(rest: RestServer, key: str) -> None:
    """The asyncio client gives the same."""
    async with upstash_redis.asyncio.Redis(rest.url, TOKEN) as client:
        assert await client.set(key, TEXT)
        assert await client.get(key) == TEXT
        for batch in (client.pipeline(), client.multi()):
            batch.set(key, "é").get(key)
            assert await batch.exec() == [True, "é"]
        with pytest.raises(UpstashError, match=r"^WRONGTYPE "):
            await client.lrange(key, 0, -1)


def test_errors(rest: RestServer, key: str) -> None:
    """Errors keep their codes, alone, in a pipeline, in a transaction; the other commands of a pipeline run."""
    with upstash_redis.Redis(rest.url, TOKEN) as client:
        client.set(key, "x")
        with pytest.raises(UpstashError, match=r"^WRONGTYPE "):
            client.lrange(key, 0, -1)
        with pytest.raises(UpstashError, match=r"^NOSCRIPT "):
            client.evalsha("0" * 40)
        with pytest.raises(UpstashError, match=r"^WRONGTYPE "):
            run(client.pipeline(), ["LLEN", key], ["INCR", f"{key}:n"])
        assert client.get(f"{key}:n") == "1"
        with pytest.raises(UpstashError, match=r"^WRONGTYPE "):
            run(client.multi(), ["LLEN", key])
        with pytest.raises(UpstashError, match=r"^ERR unknown command"):
            client.execute(["NOSUCH"])


def test_a_transaction_that_cannot_run(rest: RestServer) -> None:
    """It is refused as a whole."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{rest.url}/multi-exec", json=[["GET"], ["PING"]], headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("EXECABORT")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}])
@pytest.mark.parametrize(("path", "body"), [("/", ["PING"]), ("/pipeline", [["PING"]]), ("/multi-exec", [["PING"]])])
def test_without_the_token(rest: RestServer, headers: dict[str, str], path: str, body: Any) -> None:
    """Nothing runs."""
    answer = httpx.post(f"{rest.url}{path}", json=body, headers=headers)
    assert answer.status_code == 401
    assert "auth token" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[[]]", b'["GET", {}]', b'["GET", null]', b"\xff"])
def test_a_malformed_request(rest: RestServer, body: bytes) -> None:
    """It is refused, and the connection goes on."""
    with httpx.Client(base_url=rest.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        answer = http.post("/", content=body)
        assert (answer.status_code, list(answer.json())) == (400, ["error"])
        assert http.post("/", json=["PING"]).json() == {"result": "PONG"}


def test_a_lost_answer(rest: RestServer, key: str) -> None:
    """The command runs and the client sends it again, by default."""
    rest.lose = 1
    with upstash_redis.Redis(rest.url, TOKEN, rest_retry_interval=0.01) as client:
        assert client.incr(key) == 2


SCRIPT = """
import assert from "node:assert/strict";
import { Redis } from "@upstash/redis";

const { URL_, TOKEN, KEY, TEXT } = process.env;
for (const responseEncoding of ["base64", false]) {
  const options = { url: URL_, responseEncoding, automaticDeserialization: false, enableTelemetry: false };
  const redis = new Redis({ ...options, token: TOKEN, enableAutoPipelining: false });
  assert.equal(await redis.ping(), "PONG");
  assert.equal(await redis.set(KEY, TEXT), "OK");
  assert.equal(await redis.get(KEY), TEXT);
  assert.equal(await redis.get(KEY + ":none"), null);
  assert.equal(await redis.del(KEY + ":l"), responseEncoding ? 0 : 1);
  assert.equal(await redis.rpush(KEY + ":l", "a", "OK", ""), 3);
  assert.deepEqual(await redis.lrange(KEY + ":l", 0, -1), ["a", "OK", ""]);
  assert.deepEqual(await redis.eval("return {1, {ARGV[1], false}}", [], ["x"]), [1, ["x", null]]);
  assert.deepEqual(await redis.pipeline().set(KEY, "é").get(KEY).llen(KEY + ":l").exec(), ["OK", "é", 3]);
  assert.deepEqual(await redis.multi().set(KEY, "é").get(KEY).exec(), ["OK", "é"]);
  await assert.rejects(redis.llen(KEY), /WRONGTYPE /);
  await assert.rejects(redis.pipeline().llen(KEY).exec(), /WRONGTYPE /);
  await assert.rejects(redis.evalsha("0".repeat(40), [], []), /NOSCRIPT /);
  const stranger = new Redis({ ...options, token: "wrong" });
  await assert.rejects(stranger.ping(), /auth token/);
  await assert.rejects(stranger.multi().ping().exec(), /auth token/);
}
console.log("all is well");
"""


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the vendor's JavaScript client."""
    npm = shutil.which("npm")
    if npm is None:
        if os.environ.get("CI"):
            pytest.fail("npm is absent: apt-get install npm")
        pytest.skip("npm is absent: apt-get install npm")
    folder = tmp_path_factory.mktemp("node")
    install = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "@upstash/redis@1"]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_javascripts_client(url: str, key: str, node_folder: Path) -> None:
    """Its commands, pipelines, transactions and errors are those of Redis, with answers in base64 or not."""
    script = node_folder / "script.mjs"
    script.write_text(SCRIPT)
    text = TEXT.replace("\x00", "")  # a variable cannot hold it
    with upstash(url) as (rest_url, token):
        variables = {"URL_": rest_url, "TOKEN": token, "KEY": key, "TEXT": text}
        done = subprocess.run(
            ["node", str(script)], env={**os.environ, **variables}, capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, done.stdout) == (0, "all is well\n"), done.stderr
