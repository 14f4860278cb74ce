"""Loads the console's pages as a browser does, without one."""

import html
import re

from starlette.testclient import TestClient

from gateway_cli.connection import Connection
from gateway_cli.console.app import VIEWS, build
from gateway_cli.console.gateway import Gateway

PORT = 8099
ORIGIN = f"http://127.0.0.1:{PORT}"


def whole_page(client: TestClient, path: str) -> str:
    """Load a page with its parts, and with theirs; return everything as one text."""
    texts: list[str] = []
    wanted = [path]
    for address in wanted:
        answer = client.get(address)
        assert answer.status_code == 200, answer.text
        texts.append(answer.text)
        wanted += map(html.unescape, re.findall(r'hx-get="([^"]+)" hx-trigger="load', answer.text))
    return "\n".join(texts)


def assert_every_page_is_read(connection: Connection) -> None:
    """Look at every page: nothing is denied, and nothing is left unread."""
    guard = build(Gateway(connection, operate=False), port=PORT)
    client = TestClient(guard, base_url=ORIGIN)
    client.get(guard.url.removeprefix(ORIGIN))
    for path in (*VIEWS, "/find?q=e-1", "/rules?lately", "/trouble/events"):
        shown = whole_page(client, path)
        for complaint in (
            "Not everything could be read",
            "denied",
            "not authorized",
            "does not accept your credentials",
        ):
            assert complaint not in shown, (path, shown)
