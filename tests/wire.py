"""A proxy that watches the wire: it counts round trips and notes every command a client sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

import hiredis


class Wire:
    """Passes everything on, between any number of connections and one server.

    Attributes:
        url: where clients connect.
        round_trips: how often a client spoke after the server, or first: each is one wait of the client.
        commands: the names of the commands that clients sent.
        sent: the commands with their arguments.
        connections: how many were opened.
    """

    def __init__(self, server_url: str) -> None:
        parts = urlsplit(server_url)
        self._server = (str(parts.hostname), int(parts.port or 6379))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.connections = 0
        self._sockets: list[socket.socket] = []
        self.reset()
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        """Begin to count anew."""
        self.round_trips = 0
        self.commands: list[str] = []
        self.sent: list[list[bytes]] = []

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(self._server)
            self._sockets += [client, server]
            waiting = threading.Event()  # the server owes this client a reply
            threading.Thread(target=self._requests, args=(client, server, waiting), daemon=True).start()
            threading.Thread(target=self._replies, args=(server, client, waiting), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket, waiting: threading.Event) -> None:
        reader = hiredis.Reader()
        with suppress(OSError):
            while data := client.recv(1 << 20):
                if not waiting.is_set():
                    waiting.set()
                    self.round_trips += 1
                reader.feed(data)
                while command := reader.gets():
                    self.commands.append(command[0].decode())
                    self.sent.append(command)
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    @staticmethod
    def _replies(server: socket.socket, client: socket.socket, waiting: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 20):
                waiting.clear()
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Cut all connections; clients may open new ones."""
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def watched(server_url: str) -> Iterator[Wire]:
    with closing(Wire(server_url)) as wire:
        yield wire
