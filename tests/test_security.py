"""TLS, users with few rights, and credentials that change while connections live."""

from __future__ import annotations

import re
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.credentials import CredentialProvider

import chatmem
import chatmem.sync
from chatmem.dropin.langchain_community import RedisChatMessageHistory
from tests.coroutines import Connect, as_coroutines
from tests.servers import LEAST_RIGHTS, LIST_RIGHTS, Certificates, debian_binary, run_server


@pytest.fixture(params=["async", "sync"])
def connect(request: pytest.FixtureRequest) -> Connect:
    def open_memory(url: str | None = None, **options: Any) -> chatmem.ChatMemory:
        return (
            chatmem.connect(url, ttl=60, **options)
            if request.param == "async"
            else as_coroutines(chatmem.sync.connect(url, ttl=60, **options))
        )

    return open_memory


@pytest.fixture(scope="module")
def tls() -> Iterator[tuple[str, Certificates]]:
    """A server that wants client certificates, its address, and the certificates."""
    with tempfile.TemporaryDirectory(prefix="chatmem-") as folder:
        certificates = Certificates(Path(folder))
        admin = f"rediss://127.0.0.1:{{}}/0?{certificates.query}"
        with run_server(debian_binary(), *certificates.server_options, listen="--tls-port", url=admin) as url:
            yield url, certificates


async def test_tls(connect: Connect, tls: tuple[str, Certificates]) -> None:
    """With the authority and a client certificate it works."""
    memory = connect(tls[0])
    assert (await memory.history("a").append("x")).first == 0
    await memory.history("a").clear()
    await memory.aclose()


@pytest.mark.parametrize("query", ["", "ssl_ca_certs={ca}"])
async def test_tls_that_is_not_trusted(connect: Connect, tls: tuple[str, Certificates], query: str) -> None:
    """An unknown authority, or a missing client certificate, is UnavailableError, and not a connection without TLS."""
    url, certificates = tls
    memory = connect(f"{url.partition('?')[0]}?{query.format(ca=certificates.ca)}")
    with pytest.raises(chatmem.UnavailableError):
        await memory.history("a").append("x")
    await memory.aclose()


def test_the_documentation_lists_the_least_rights() -> None:
    """The commands that the contract suite's user may run are those that docs/deployment.md gives."""
    text = (Path(__file__).parent.parent / "docs" / "deployment.md").read_text()
    (listed,) = re.findall(r"ACL SETUSER chatmem on >password ~chatmem:\* (.+?)\n```", text, re.DOTALL)
    assert listed.replace("\\\n", " ").split() == LEAST_RIGHTS.split()
    assert f"`memory.count` | `{LIST_RIGHTS}` |" in text


def test_the_rights_of_the_classes_that_are_replaced() -> None:
    """The commands and keys that the documentation gives for them are enough."""
    text = (Path(__file__).parent.parent / "docs" / "dropin.md").read_text()
    (listed,) = re.findall(r"`(\+eval [^`]+)`", text)
    keys = ["~message_store:*", "~chatmem:recent:*"]
    with run_server(debian_binary()) as url, redis.Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", "few", "on", ">s3cret", *keys, *listed.split())
        history = RedisChatMessageHistory("a", url.replace("//", "//few:s3cret@"), ttl=60)
        history.add_user_message("x")
        assert len(history.messages) == 1
        history.clear()
        assert admin.acl_log() == []


class Changing(CredentialProvider):
    """A token that is good for one connection, as an IAM provider's is for some minutes."""

    def __init__(self, admin: redis.Redis) -> None:
        self._admin = admin
        self.given = 0

    def get_credentials(self) -> tuple[str, str]:
        self.given += 1
        token = f"token-{self.given}"
        self._admin.acl_setuser("iam", enabled=True, reset_passwords=True, passwords=[f"+{token}"])
        return "iam", token

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()


@pytest.mark.parametrize("facade", ["async", "sync"])
async def test_credentials_that_change(url: str, facade: str) -> None:
    """Every new connection asks the provider again, so a token that ran out is replaced without an error."""
    with redis.Redis.from_url(url) as admin:
        admin.acl_setuser("iam", enabled=True, keys=["*"], commands=["+@all"], nopass=False, passwords=["+x"])
        provider = Changing(admin)
        options: dict[str, Any] = {
            "port": admin.connection_pool.connection_kwargs["port"],
            "credential_provider": provider,
        }
        client: Any = redis.asyncio.Redis(**options) if facade == "async" else redis.Redis(**options)
        memory: chatmem.ChatMemory = (
            chatmem.connect(client=client, ttl=60)
            if facade == "async"
            else as_coroutines(chatmem.sync.connect(client=client, ttl=60))
        )
        for number in range(4):
            await memory.history("iam").append(str(number))
            for connection in admin.client_list():
                if connection["user"] == "iam":
                    admin.client_kill_filter(_id=connection["id"])
        assert await memory.history("iam").count() == 4
        assert provider.given >= 4
        await memory.history("iam").clear()
        await client.aclose() if facade == "async" else client.close()
        admin.acl_deluser("iam")


class TestTheOtherProtocol:
    """TLS where there is none, or none where there is TLS: said soon, and not as a time-out."""

    @pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster"])
    async def test_tls_to_a_plain_port(self, connect: Connect, url: str, scheme: str) -> None:
        times = "socket_timeout=2&socket_connect_timeout=2"
        memory = connect(f"{url.replace('redis', scheme, 1)}?{times}")
        begun = time.monotonic()
        with pytest.raises(chatmem.UnavailableError, match=r"does not speak TLS|begin the url with redis instead"):
            await memory.history("a").append("x")
        assert time.monotonic() - begun < 6  # once, and not for each try
        await memory.aclose()

    @pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
    async def test_a_tls_port_without_it(self, connect: Connect, tls: tuple[str, Certificates], scheme: str) -> None:
        memory = connect(tls[0].partition("?")[0].replace("rediss", scheme, 1))
        with pytest.raises(chatmem.UnavailableError, match="speaks TLS only: begin the url with rediss"):
            await memory.history("a").append("x")
        await memory.aclose()

    async def test_a_slow_handshake(self, connect: Connect, tls: tuple[str, Certificates]) -> None:
        """A server of TLS that takes longer than is waited before it is asked is waited for."""
        port = int(tls[0].rsplit(":", 1)[1].split("/", maxsplit=1)[0])
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                while True:
                    try:
                        client, _ = listener.accept()
                    except OSError:
                        return
                    threading.Thread(target=relay, args=(client, port, 1.3), daemon=True).start()

            threading.Thread(target=serve, daemon=True).start()
            memory = connect(tls[0].replace(f":{port}/", f":{listener.getsockname()[1]}/"))
            assert (await memory.history("slow").append("x")).first == 0
            await memory.history("slow").clear()
            await memory.aclose()
            listener.shutdown(socket.SHUT_RDWR)


def relay(client: socket.socket, port: int, delay: float) -> None:
    """Pass everything on, the first bytes late."""

    def back(server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)

    with client, socket.create_connection(("127.0.0.1", port)) as server, suppress(OSError):
        threading.Thread(target=back, args=(server,), daemon=True).start()
        time.sleep(delay)
        while data := client.recv(1 << 16):
            server.sendall(data)
