"""The process that keeps one Valkey server running for all users of a folder. `server.py` starts it.

Its arguments are the folder, the server's binary, the descriptor of `supervisor.lock`, already locked, and the folder's
descriptor. The process that gets the lock starts a supervisor and passes the lock on. The supervisor restarts a server
that dies, and stops it when it gets `users.lock`, which every user holds shared. It is a script that imports little,
because a user waits until it has started.
"""

from __future__ import annotations

import _thread
import ctypes
import fcntl
import os
import signal
import struct
import sys
import time
from collections.abc import Callable

MOST_FAILURES, SOON_SECONDS = 4, 10.0  # give up after so many deaths, each so soon after the start
PATIENCE_SECONDS = 10.0  # kill a server that takes longer to stop
WATCHED = (signal.SIGCHLD, signal.SIGTERM)
OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "always",  # "everysec" answers while an earlier write may still be on its way to the disk
    "aof-load-truncated": "yes",  # a kill during a write leaves half a record, for which nobody got an answer
    "save": "",
    "hz": "50",  # how often per second it checks whether to stop
    "maxmemory-policy": "noeviction",
    "hide-user-data-from-log": "yes",
}


def main() -> None:
    """Detach from the starting process, then serve until nobody uses the folder or the server cannot run."""
    folder, binary, lock, opened = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if os.fork():
        os._exit(0)  # the supervisor outlives the process that started it, and is not its child
    os.fchdir(opened)  # the folder that was checked, wherever its path leads by now
    os.close(opened)
    os.umask(0o077)
    os.set_inheritable(lock, False)
    for number in WATCHED:
        signal.signal(number, lambda *_: None)  # an ignored signal may never reach sigwait
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    end_orphan()
    users = os.open("users.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    options = OPTIONS | {"unixsocket": f"{folder}/chatmem.sock", "dir": f"{folder}/data"}
    serve([binary, *(word for name, value in options.items() for word in (f"--{name}", value))], users)
    os.close(lock)  # before `users`: a process that gets `users` must find that no supervisor runs


def serve(command: list[str], users: int) -> None:
    """Run the server, and restart it whenever it dies, until nobody uses it or it keeps dying."""
    server, started, failures = start(command), time.monotonic(), 0
    _thread.start_new_thread(wait_for_no_users, (users,))
    while signal.sigwait(WATCHED) == signal.SIGCHLD:
        pid, status = os.waitpid(server, os.WNOHANG)
        if not pid:
            continue  # the server was stopped or continued, but did not end
        failures = failures + 1 if time.monotonic() - started < SOON_SECONDS else 1
        log(f"the server ended unexpectedly (exit code {os.waitstatus_to_exitcode(status)})")
        if failures >= MOST_FAILURES:
            log(f"giving up: it ended {failures} times, each soon after its start")
            return
        time.sleep(0.1 * (failures - 1))
        server, started = start(command), time.monotonic()
    end(server, lambda: os.waitpid(server, os.WNOHANG)[0] != 0)


def wait_for_no_users(users: int) -> None:
    """Wait until there are no users, keep new ones out, and signal the main thread."""
    fcntl.flock(users, fcntl.LOCK_EX)
    os.kill(os.getpid(), signal.SIGTERM)


def start(command: list[str]) -> int:
    """Start the server as a child process; return its pid."""
    supervisor = os.getpid()
    if pid := os.fork():
        return pid
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a pending one ends this process now
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        become_server(command, supervisor)
    except OSError as error:
        log(f"the server {command[0]} cannot start: {error}")
    finally:
        os._exit(127)


def become_server(command: list[str], supervisor: int) -> None:
    """Turn this process into the server, the only one with the folder's data open."""
    # a record lock belongs to one process and survives exec; children that the server forks do not get it
    lock = os.open("server.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    os.set_inheritable(lock, True)
    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: end when the supervisor is killed
    if os.getppid() == supervisor:
        os.makedirs("data", exist_ok=True)  # noqa: PTH103 - pathlib takes as long to load as all the rest
        os.execv(command[0], command)  # noqa: S606 - no shell is what we want


def end_orphan() -> None:
    """End the server that a killed supervisor left behind."""
    lock = os.open("server.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if pid := holder(lock):
        log(f"ending server {pid}, whose supervisor is gone")
        end(pid, lambda: holder(lock) != pid)


def end(pid: int, gone: Callable[[], bool]) -> None:
    """Stop a server, and kill it if it takes too long. That is safe: what it confirmed is on the disk."""
    if pid < 0:
        sys.exit("a server in another container or on another machine has the data open")
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        os.kill(pid, signal.SIGTERM)
        while not gone():
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)
    except ProcessLookupError:
        return  # the server has ended


def holder(lock: int) -> int:
    """Return the pid of the process that holds a record lock on the file; 0 if none does, -1 if its pid is unknown."""
    if sys.platform == "darwin":  # the layout of C's `struct flock` depends on the platform
        query = struct.pack("qqihh", 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
        _, _, pid, kind, _ = struct.unpack("qqihh", fcntl.fcntl(lock, fcntl.F_GETLK, query))
    else:
        query = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(lock, fcntl.F_GETLK, query))
    return 0 if kind == fcntl.F_UNLCK else pid or -1


def log(text: str) -> None:
    """Add a line to the log, unless the disk is full."""
    try:
        os.write(2, os.fsencode(f"{os.getpid()}:supervisor {time.strftime('%d %b %Y %H:%M:%S')} {text}\n"))
    except OSError:
        return


if __name__ == "__main__":
    main()
