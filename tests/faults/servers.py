"""HTTP servers on this machine that answer as they are told, in bytes: nothing mends an answer."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

# What a server sends to one request: bytes, or a function of the connection that sends them.
Answer = bytes | Callable[[socket.socket], None]


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """Return a whole answer; `content_type="text/html"` is a header."""
    lines = [f"HTTP/1.1 {status}"]
    named = {"connection": "close", "content_length": str(len(body)), **headers}
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in named.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def of_json(content: object) -> bytes:
    """Return an answer that is JSON."""
    return answer(json.dumps(content).encode(), content_type="application/json")


def drip(start: bytes, piece: bytes = b"a") -> Callable[[socket.socket], None]:
    """Return an answer that begins and then never ends: a piece now and then."""

    def send(connection: socket.socket) -> None:
        connection.sendall(start)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            connection.sendall(piece)
            time.sleep(0.05)

    return send


@contextmanager
def serving(answers: Mapping[str, Answer]) -> Iterator[tuple[str, list[str]]]:
    """Yield a server's address, and what it is asked for; "" answers what no other path does."""
    asked: list[str] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            asked.append(request.decode("latin-1"))
            path = urlsplit(asked[-1].split()[1]).path
            found = answers.get(path, answers.get("", answer(status="404 Not Found")))
            if isinstance(found, bytes):
                connection.sendall(found)
            else:
                found(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
