"""The small HTTP server under the API and the web servers: one thread a connection, TLS if wanted."""

import json
import socket
import ssl
import struct
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_LARGEST_BODY: Final = 10 * 1024 * 1024
_IDLE_SECONDS: Final = 75.0  # longer than any client keeps a connection that it does not use


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names in lower case, `target` is path and query as sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, document: Any, headers: Mapping[str, str] | None = None) -> "Answer":
        """An answer in JSON."""
        return cls(status, json.dumps(document).encode(), headers=headers or {})

    @classmethod
    def text(cls, status: int, text: str, headers: Mapping[str, str] | None = None) -> "Answer":
        """An answer for a person."""
        return cls(status, text.encode(), "text/plain; charset=utf-8", headers or {})


class NoAnswer(Exception):
    """Close the connection instead of answering; with `reset` the client sees a connection reset."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


class HttpServer:
    """Serves a function from Request to Answer on a free port of 127.0.0.1."""

    def __init__(self, respond: Callable[[Request], Answer], *, tls: ssl.SSLContext | None = None) -> None:
        self._server = _Server(respond, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def port(self) -> int:
        """The port, known before `start`."""
        port: int = self._server.server_address[1]
        return port

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering. Safe before `start`, and to call twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, respond: Callable[[Request], Answer], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond = respond
        self.tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread: a client with a slow handshake delays no other.
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(_IDLE_SECONDS)
        with self.tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that disconnected or does not trust our certificate."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    server: _Server

    def _respond(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _LARGEST_BODY:
            self.close_connection = True
            self._send(Answer.text(413, "The request is too large"))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        try:
            answer = self.server.respond(request)
        except NoAnswer as fault:
            self.close_connection = True
            if fault.reset:  # closing a socket that may not linger resets the connection
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except Exception:  # noqa: BLE001 - the caller learns of our bug
            self._send(Answer.text(500, traceback.format_exc()))
        else:
            self._send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond  # noqa: N815 - the names the base class looks up

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            # The client asked for it and needs the confirmation: else it sends its next request on a closing connection.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Log no requests here: each server logs what its requests mean."""
