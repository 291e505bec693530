"""What may follow the ? of a url: options that redis-py gets; all others are a ValueError that helps."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio

import chatmem
import chatmem.sync
from chatmem.backends import options
from chatmem.backends.connection import backend_at
from chatmem.backends.redis import open_async, open_blocking

SCHEMES = {
    "redis": "redis://host/0",
    "rediss": "rediss://host/0",
    "unix": "unix:///run/redis.sock",
    "redis+cluster": "redis+cluster://host",
    "rediss+cluster": "rediss+cluster://host",
    "redis+sentinel": "redis+sentinel://host/service/0",
    "rediss+sentinel": "rediss+sentinel://host/service/0",
}
WRONG = {
    "db": "s3cret",
    "socket_timeout": "s3cret",
    "socket_connect_timeout": "-1",
    "max_connections": "0",
    "protocol": "4",
    "health_check_interval": "1.5",
    "decode_responses": "maybe",
}


@pytest.mark.parametrize("connect", [chatmem.connect, chatmem.sync.connect])
@pytest.mark.parametrize("scheme", SCHEMES)
class TestWrongOptions:
    """Said when the url is read, with the option's name and never its value."""

    def test_a_misspelled_one(self, connect: Callable[..., object], scheme: str) -> None:
        """The nearest one is named."""
        with pytest.raises(ValueError, match=r"'socket_timout'.*did you mean 'socket_timeout'\?"):
            connect(f"{SCHEMES[scheme]}?socket_timout=2")

    def test_an_unknown_one(self, connect: Callable[..., object], scheme: str) -> None:
        with pytest.raises(ValueError, match=r"'x'.*known options are .*socket_timeout"):
            connect(f"{SCHEMES[scheme]}?x=s3cret")

    @pytest.mark.parametrize("name", WRONG)
    def test_a_value_of_another_kind(self, connect: Callable[..., object], scheme: str, name: str) -> None:
        with pytest.raises(ValueError, match=f"url's option {name} must be ") as caught:
            connect(f"{SCHEMES[scheme]}?{name}={WRONG[name]}")
        assert "s3cret" not in str(caught.value)
        assert caught.value.__context__ is None

    @pytest.mark.parametrize("value", ["", "nan", "inf", "0", "-2", "1e999"])
    def test_no_time(self, connect: Callable[..., object], scheme: str, value: str) -> None:
        with pytest.raises(ValueError, match="socket_timeout must be seconds") as caught:
            connect(f"{SCHEMES[scheme]}?socket_timeout={value}")
        assert "percent" not in str(caught.value)

    def test_a_password_with_signs_of_a_url(self, connect: Callable[..., object], scheme: str) -> None:
        """The rest of it is taken for something else, and is not shown."""
        scheme = scheme if scheme != "unix" else "redis"
        for sign in "?#":
            with pytest.raises(ValueError, match="url") as caught:
                connect(f"{scheme}://:begin{sign}s3cret-rest@host/service/0")
            assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(options._PARSERS))
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_each_option_is_taken_by_both_clients(scheme: str, name: str) -> None:
    """Or it is said at once that there is none: nothing is left to raise a TypeError when a connection opens."""
    values = {"protocol": "3", "ssl_cert_reqs": "none", "ssl_min_version": "1.2", "db": "0"}
    try:
        address: Any = backend_at(f"{SCHEMES[scheme]}?{name}={values.get(name, '1')}")
    except ValueError as error:
        assert name in str(error)  # noqa: PT017 - some kinds have it and some have not
        return
    address.asynchronous()
    address.blocking()
    await (await address._open_async()).aclose()
    if "+" not in scheme:
        pools: tuple[Any, Any] = (
            open_async(address._url, **address._options).connection_pool,
            open_blocking(address._url, **address._options).connection_pool,
        )
        for pool in pools:
            pool.connection_class(**pool.connection_kwargs)


async def test_what_they_mean() -> None:
    """Values get the types that redis-py wants; the database is in the path or an option, which wins."""
    url, found = options.read(
        "rediss://me:pw@host:1234/3?socket_timeout=2.5&ssl_min_version=TLSv1.3&decode_responses=no&ssl_cert_reqs=NONE"
    )
    assert url == "rediss://me:pw@host:1234"
    assert found == {
        "db": 3,
        "socket_timeout": 2.5,
        "ssl_min_version": ssl.TLSVersion.TLSv1_3,
        "decode_responses": False,
        "ssl_cert_reqs": "none",
    }
    assert options.read("redis://h/1?db=2")[1] == {"db": 2}
    assert options.read("unix:///a%20b?db=2") == ("unix:///a%20b", {"db": 2})
    assert options.read("redis://h?retry_on_timeout=true")[1] == {}  # which chatmem does


@pytest.mark.parametrize("url", ["redis://host/x", "redis://host/1/2", "redis://host/-1", "redis://host/1.0"])
def test_no_database(url: str) -> None:
    """redis-py would take 0, or 12, without a word."""
    with pytest.raises(ValueError, match="number of a database"):
        chatmem.connect(url)


def test_a_database_of_a_cluster() -> None:
    """There is none but 0."""
    with pytest.raises(ValueError, match="a cluster has only 0"):
        chatmem.connect("redis+cluster://host/1")
    chatmem.connect("redis+cluster://host/0")


def test_tls_options_without_tls() -> None:
    with pytest.raises(ValueError, match="begin the url with rediss"):
        chatmem.connect("redis://host?ssl_ca_certs=ca.pem")


def test_upstash_has_none() -> None:
    with pytest.raises(ValueError, match="url has options"):
        chatmem.connect("upstash://:token@host?timeout=2")


def test_they_arrive(url: str, prefix: str) -> None:
    """The server sees them."""
    named = f"{url}?client_name=by-url&socket_keepalive=yes"
    with redis.Redis.from_url(url) as admin, chatmem.sync.connect(named, prefix=prefix, ttl=60) as memory:
        memory.history("a").append("x")
        assert "by-url" in {client["name"] for client in admin.client_list()}
