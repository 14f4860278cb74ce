"""An MWAA web server over TLS that answers by script, and remembers what it was sent."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme


@dataclass
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    client_port: int  # one for each connection
    method: str = "POST"


@dataclass
class Answer:
    """What to answer: `cut` closes the connection in the middle of the body, `silent` before anything is said.

    `keeps_open` leaves the connection open, and says nothing about it, although the client asked for its end.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    silent: bool = False
    keeps_open: bool = False
    wait: threading.Event | None = None


@dataclass
class WebServerScript:
    """The server's address and CA, the answers to come (the last one stays), and what was received."""

    host: str
    ca_bundle: str
    answers: list[Answer] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)


@contextmanager
def scripted_web_server(folder: Path, *, expired: bool = False) -> Iterator[WebServerScript]:
    """Serve on a free port of 127.0.0.1 under a certificate for `localhost`, of long ago where it is to have expired."""
    authority = trustme.CA()
    ca_bundle = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    long_ago = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC))
    not_before, not_after = long_ago if expired else (None, None)
    authority.issue_cert("localhost", not_before=not_before, not_after=not_after).configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    script = WebServerScript(f"localhost:{server.server_address[1]}", str(ca_bundle))
    server.RequestHandlerClass = _handler(script)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is part of the script
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(script: WebServerScript) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            client_port = self.client_address[1]
            script.received.append(Received(self.path, dict(self.headers), body, client_port, self.command))
            answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            if answer.wait is not None:
                answer.wait.wait(timeout=10)
            if answer.silent:
                self.close_connection = True
                return
            (self.send_response_only if "Date" in answer.headers else self.send_response)(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.close_connection = not answer.keeps_open
            if self.close_connection:
                self.send_header("Connection", "close")
            self.send_header("Content-Length", str(len(answer.body) + (100 if answer.cut else 0)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_PATCH = do_POST = answer  # noqa: N815  the names the base class looks up
        log_message: Callable[..., None] = lambda *_: None

    return Handler
