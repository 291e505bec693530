"""The old histories, which share lists with chatmem's drop-ins, each run in a process of its own."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

FOLDER = Path(__file__).parent


class PeerError(Exception):
    """An old class raised; the text is `TypeName: text`. Or its process died."""


class Peer:
    """A driver's process, started by the first call and again by the one after its death."""

    def __init__(self, command: Sequence[str | Path], *, seconds: float = 30.0) -> None:
        self._command = [str(word) for word in command]
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None
        self._stderr = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - __exit__ closes it

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()
        self._stderr.close()

    def call(
        self, class_name: str, options: dict[str, Any], op: str, messages: Sequence[dict[str, Any] | str] | None = None
    ) -> Any:
        """Open a history of the class with these constructor arguments, and have it do the operation.

        Args:
            class_name: the old class.
            options: what its constructor gets; Memorystore's client is given as a `url`.
            op: add, add_user, add_ai, read, clear, search or attributes.
            messages: for the adds, as messages_to_dict makes them; add_user and add_ai take a text too, and search
                takes its words.

        Raises:
            PeerError: the old class raised, the process died, or no answer came in time.
        """
        request = {"class": class_name, "options": options, "op": op, "messages": list(messages or [])}
        answer = json.loads(self._exchange(json.dumps(request)))
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer["ok"]

    def _exchange(self, request: str) -> str:
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(self._seconds, process.kill)  # what is read then is the end
        timer.start()
        try:
            process.stdin.write(request + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if not answer.endswith("\n"):
            raise PeerError(self._epitaph())
        return answer

    def _start(self) -> subprocess.Popen[str]:
        self._stderr.seek(0)
        self._stderr.truncate()
        pipe = subprocess.PIPE
        return subprocess.Popen(self._command, encoding="utf-8", stdin=pipe, stdout=pipe, stderr=self._stderr)

    def _epitaph(self) -> str:
        code = self._stop()
        self._stderr.seek(0)
        return f"the process died with {code} (-9: after {self._seconds} s): {self._stderr.read()[-2000:]}"

    def _stop(self) -> int | None:
        """End the process and return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            process.communicate(timeout=5)  # its input ends, and so does it
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        return process.returncode
