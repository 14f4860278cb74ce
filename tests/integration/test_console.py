"""`mwaa-gateway console`: every view, every action, and everything that is refused, on a gateway in moto."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from httpx2 import Response
from starlette.testclient import TestClient

from gateway_cli.console.app import build
from gateway_cli.console.guard import Guard
from integration.console_scene import Scene, busy, scene

__all__ = ["busy", "scene"]

PORT = 8099
ORIGIN = f"http://127.0.0.1:{PORT}"


@dataclass
class Browser:
    """A browser at the console; it follows no redirect by itself."""

    scene: Scene
    guard: Guard
    client: TestClient
    loaded: list[str] = field(default_factory=list)

    def get(self, path: str, **headers: str) -> Response:
        return self.client.get(path, headers=headers, follow_redirects=False)

    def page(self, path: str) -> str:
        """Load a page and all of its parts, as htmx does; return everything as one text."""
        shell = self.get(path)
        assert shell.status_code == 200, shell.text
        texts = [shell.text]
        for part in re.findall(r'hx-get="([^"]+)" hx-trigger="load', shell.text):
            answer = self.get(part.replace("&amp;", "&"))
            assert answer.status_code == 200, answer.text
            self.loaded.append(part)
            texts.append(answer.text)
        return "\n".join(texts)

    def calls(self, path: str) -> list[str]:
        """Load a page; return the calls to AWS that it costs."""
        self.scene.calls.clear()
        self.page(path)
        return [*self.scene.calls]


def browser(scene: Scene, *, operate: bool = False) -> Browser:
    """Open the console, as the browser does with the printed address."""
    guard = build(scene.console(operate=operate), port=PORT)
    client = TestClient(guard, base_url=ORIGIN)
    opened = Browser(scene, guard, client)
    assert opened.get(guard.url.removeprefix(ORIGIN)).status_code == 303
    opened.get("/banner")  # whose gateway it is, is read once
    return opened


@pytest.fixture
def visitor(busy: Scene) -> Iterator[Browser]:
    """A console that only looks."""
    return browser(busy)


# --- who may come in


def test_an_address_works_once(scene: Scene) -> None:
    guard = build(scene.console(), port=PORT)
    first, second = (TestClient(guard, base_url=ORIGIN, follow_redirects=False) for _ in range(2))
    path = guard.url.removeprefix(ORIGIN)
    assert first.get("/find").status_code == 401
    opened = first.get(path)
    assert opened.status_code == 303
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert first.get("/find").status_code == 200
    assert second.get(path).status_code == 401
    assert second.get("/find").status_code == 401
    assert second.get("/?token=").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": f"evil.example:{PORT}"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": f"localhost:{PORT}"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": f"http://127.0.0.1:{PORT + 1}"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_another_host_or_site_is_refused_even_with_the_cookie(
    scene: Scene, headers: dict[str, str], status: int
) -> None:
    assert browser(scene).get("/find", **headers).status_code == status


def test_every_answer_has_the_strict_headers(scene: Scene) -> None:
    opened = browser(scene)
    for answer in (
        opened.get("/find"),
        opened.get("/static/console.js"),
        opened.get("/nothing"),
        opened.get("/find", Host="x"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in answer.headers


# --- what a page costs


VIEWS = [
    "/find?q=e-lost",
    "/find?q=s3://acme/orders/1.csv",
    "/now",
    "/trouble",
    "/trouble/events",
    "/rules",
    "/rules?lately",
    "/rules/finance.orders?lately",
    "/feeds",
    "/state-machines",
]


@pytest.mark.parametrize("path", VIEWS)
def test_a_page_costs_at_most_five_calls(visitor: Browser, path: str) -> None:
    calls = visitor.calls(path)
    assert 1 <= len(calls) <= 5, calls


def test_the_shell_of_a_page_costs_none(visitor: Browser) -> None:
    visitor.scene.calls.clear()
    for path in VIEWS:
        assert visitor.get(path).status_code == 200
    assert visitor.scene.calls == []


# --- expired credentials, and what cannot be read


def refusing(monkeypatch: pytest.MonkeyPatch, code: str, *operations: str) -> None:
    """Let AWS refuse these operations, or all of them."""
    ask = BaseClient._make_api_call

    def call(client: Any, operation: str, params: Any) -> Any:
        if not operations or operation in operations:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)
        return ask(client, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)


def test_expired_credentials_say_so_and_new_ones_are_taken_up(
    busy: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = browser(busy)
    with monkeypatch.context() as patch:
        refusing(patch, "ExpiredToken")
        shown = opened.page("/now")
        assert "AWS does not accept your credentials" in shown
        assert "log in again" in shown
        assert re.search(r'class="num[^"]*">0<', shown) is None
    shown = opened.page("/now")
    assert "AWS does not accept your credentials" not in shown
    assert "circuit open" in shown


def test_what_cannot_be_read_is_a_question_mark(busy: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = browser(busy)
    refusing(monkeypatch, "InternalServerError", "GetMetricData", "Scan", "BatchGetItem")
    shown = opened.page("/now")
    assert re.search(r'class="num[^"]*">0<', shown) is None
    assert "GetMetricData failed with InternalServerError" in shown
    row = shown.partition('<th scope="row">analytics</th>')[2].partition("</tr>")[0]
    assert row.count(">?<") == 10


# --- the views


def test_find_says_what_became_of_it_with_the_command_to_copy(visitor: Browser) -> None:
    shown = visitor.page("/find?q=e-dead-2")
    assert "dead <span" in shown
    assert "mwaa-gateway dlq redrive evt__finance.orders__" in shown
    assert "--stack-name mwaa-gateway" in shown
    assert "Time line" in shown
    assert '"trail"' not in shown


def test_find_takes_a_log_line_and_an_address_of_it_is_short(visitor: Browser) -> None:
    moved = visitor.get('/find?q={"level":"INFO","event_id":"e-lost","message":"x"}')
    assert moved.headers["location"] == "/find?q=e-lost&since=2d"
    assert "none of" in visitor.page("/find?q=e-lost") or "no rule matched" in visitor.page("/find?q=e-lost")
    assert "is a log line without" in visitor.page('/find?q={"level":"INFO"}')


def test_what_is_pasted_is_never_markup(visitor: Browser) -> None:
    shown = visitor.page("/find?q=%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in shown


def test_now_shows_every_environment_with_figures_and_ages(visitor: Browser) -> None:
    shown = visitor.page("/now")
    analytics, legacy = (
        shown.partition(f'<th scope="row">{name}</th>')[2].partition("</tr>")[0]
        for name in ("analytics", "legacy")
    )
    assert "paused" in analytics
    assert "circuit open" in legacy
    assert "the warehouse is being moved" in shown
    assert "of 3" in analytics
    assert ">3<" in analytics  # dead
    assert ">2<" in analytics  # held
    assert "an hour" in shown
    assert 'data-chart="{&#34;times' in shown
    assert "Overdue batches" in shown
