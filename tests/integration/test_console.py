"""`mwaa-gateway console`: every view, every action, and everything that is refused, on a gateway in moto."""

import html
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from httpx2 import Response
from starlette.testclient import TestClient

from console_pages import ORIGIN, PORT, whole_page
from fakes.rules_table import rules_table_items
from gateway_cli.console import command
from gateway_cli.console.actions import ACTIONS
from gateway_cli.console.app import build
from gateway_cli.console.gateway import Gateway
from gateway_cli.output import Refused
from integration.console_scene import Scene, busy, copy_into, scene
from integration.operated import NO
from integration.shell import shell
from mwaa_gateway.aws.dynamodb.pauses import PAUSE_PARTITION, environment_sort
from mwaa_gateway.aws.dynamodb.values import attributes, rules_key
from mwaa_gateway.trigger_request import TriggerRequest

__all__ = ["busy", "scene"]


@dataclass
class Browser:
    """A browser at the console; it follows no redirect by itself."""

    scene: Scene
    gateway: Gateway
    client: TestClient

    def get(self, path: str, **headers: str) -> Response:
        return self.client.get(path, headers=headers, follow_redirects=False)

    def post(self, path: str, **fields: str | list[str]) -> Response:
        """Send a form of the console's own pages."""
        return self.client.post(path, data={**fields, "csrf": self.csrf}, headers={"Origin": ORIGIN})

    @property
    def csrf(self) -> str:
        return re.findall(r'name="csrf" value="([^"]+)"', self.get("/rules").text)[0]

    def page(self, path: str) -> str:
        """Load a page and all of its parts; return everything as one text."""
        return whole_page(self.client, path)

    def calls(self, path: str) -> list[str]:
        """Load a page; return the calls to AWS that it costs."""
        self.scene.calls.clear()
        self.page(path)
        return [*self.scene.calls]


def browser(scene: Scene, *, operate: bool = False) -> Browser:
    """Open the console, as the browser does with the printed address."""
    gateway = scene.console(operate=operate)
    guard = build(gateway, port=PORT)
    opened = Browser(scene, gateway, TestClient(guard, base_url=ORIGIN))
    assert opened.get(guard.url.removeprefix(ORIGIN)).status_code == 303
    opened.get("/banner")  # whose gateway it is, is read once
    return opened


@pytest.fixture
def visitor(busy: Scene) -> Iterator[Browser]:
    """A console that only looks."""
    return browser(busy)


def test_a_scene_has_nothing_of_the_test_before_it(busy: Scene) -> None:
    """Tests get copies of one scene."""
    before = rules_table_items(busy.gateway.dynamodb)
    item = {**rules_key("operation", "of this test"), **attributes({"action": "x"})}
    busy.gateway.dynamodb.put_item(TableName="rules", Item=item)
    busy.trail.lines.clear()
    dead = busy.gateway.visible("trigger-dlq-analytics")
    busy.gateway.bodies("trigger-dlq-analytics")
    copy_into(busy)
    assert before == rules_table_items(busy.gateway.dynamodb)
    assert busy.trail.lines
    assert busy.gateway.visible("trigger-dlq-analytics") == dead > 0


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


def test_a_page_costs_at_most_five_calls(visitor: Browser) -> None:
    for path in VIEWS:
        visitor.gateway.forget()
        calls = visitor.calls(path)
        assert 1 <= len(calls) <= 5, (path, calls)


def test_now_says_what_mwaa_does_with_an_environment_that_is_away(visitor: Browser) -> None:
    """It asks about this one alone."""
    visitor.scene.gateway.described["legacy"] = {"Status": "MAINTENANCE"}
    visitor.gateway.forget()
    asked = visitor.scene.gateway.asked_of_mwaa
    shown = visitor.page("/now")
    assert visitor.scene.gateway.asked_of_mwaa == asked + 1
    assert "maintenance</span>" in shown
    assert "MWAA reports MAINTENANCE: MWAA maintains the environment" in shown


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
    before = opened.gateway.connected()
    with monkeypatch.context() as patch:
        refusing(patch, "ExpiredToken")
        shown = opened.page("/now")
        assert "AWS does not accept your credentials" in shown
        assert "log in again" in shown
        assert re.search(r'class="num[^"]*">0<', shown) is None
    shown = opened.page("/now")
    assert "AWS does not accept your credentials" not in shown
    assert "circuit open" in shown
    assert opened.gateway.connected() is not before  # a session keeps the credentials that it has found


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


def test_trouble_lists_what_is_dead_held_broken_and_overdue(visitor: Browser) -> None:
    shown = visitor.page("/trouble")
    counts = re.findall(r'<h2 id="(\w+)">[^<]*<span class="count [^"]*">(\d+)<', shown)
    assert counts == [("dead", "3"), ("held", "2"), ("broken", "1"), ("overdue", "1")]
    assert "&#39;retired&#39; is not an environment" in shown
    assert "correct the rule" in shown  # the remedy of a missing DAG
    assert "the warehouse is being moved" in shown
    assert "checkbox" not in shown
    assert "/review/" not in shown


def test_trouble_queries_the_shards_where_scan_is_denied(
    busy: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = browser(busy)
    refusing(monkeypatch, "AccessDeniedException", "Scan")
    shown = opened.page("/trouble")
    assert "Not everything could be read" not in shown
    counts = re.findall(r'<h2 id="(\w+)">[^<]*<span class="count [^"]*">(\d+)<', shown)
    assert counts == [("dead", "3"), ("held", "2"), ("broken", "1"), ("overdue", "1")]


def test_rules_have_their_state_and_what_they_matched(visitor: Browser) -> None:
    shown = visitor.page("/rules?lately")
    assert "finance.refunds" in shown
    assert 'state shadow">shadow' in shown
    assert "5 requests" in shown
    assert "Matched in 24 h" not in visitor.page("/rules")
    rule = visitor.page("/rules/finance.orders?lately")
    assert "created" in rule
    assert "Rejected" in rule
    assert "there is no rule" in visitor.page("/rules/no.such")


TRIALS = [
    ("orders/1.csv", "", "analytics:ingest_orders"),
    ("refunds/1.csv", "", "is disabled: it starts nothing"),
    ("clicks/1.csv", "", "marketing.clicks"),
    ("Orders/1.csv", "", "only upper and lower case differ"),
    ("orders/1.csv", "finance.refunds", "refunds/"),
]


def test_an_event_is_tried_on_the_rules_and_nothing_is_sent(visitor: Browser) -> None:
    visitor.scene.calls.clear()
    for key, rule, expected in TRIALS:
        answer = visitor.post("/rules/try", event=full_event(key), rule=rule)
        assert expected in answer.text, (key, rule)
    assert set(visitor.scene.calls) <= {"Query"}


def full_event(key: str) -> str:
    event = {"id": "e-9", "source": "aws.s3", "detail-type": "Object Created", "account": "123456789012"}
    detail = {"bucket": {"name": "acme"}, "object": {"key": key}}
    more = {"region": "eu-west-1", "time": "2026-11-29T10:00:00Z", "resources": [], "detail": detail}
    return json.dumps(event | more)


def test_what_is_no_event_is_refused(visitor: Browser) -> None:
    assert "This is not JSON" in visitor.post("/rules/try", event="{").text
    assert "malformed" in visitor.post("/rules/try", event="{}").text


def test_feeds_show_progress_and_what_is_missing(visitor: Browser) -> None:
    shown = visitor.page("/feeds")
    assert "overdue" in shown
    assert 'max="3" value="2"' in shown
    assert "missing: apac" in shown
    hourly = re.findall(r'hx-get="(/feeds/\w+/count)" hx-target', shown)
    counted = "".join(visitor.get(path).text for path in hourly)
    assert 'max="24" value="17"' in counted
    assert 'max="3" value="1"' in counted
    assert "no such batch" in visitor.get("/feeds/nothing/count").text


def test_state_machines_show_who_waits_the_longest_first(visitor: Browser) -> None:
    shown = visitor.page("/state-machines")
    assert re.findall(r'<th scope="row">([\w-]+)</th>', shown) == [
        "month-end",
        "nightly-load",
        "nightly-load",
    ]
    assert "No state waits" in visitor.page("/state-machines?environment=legacy")


# --- actions


def ticked(text: str) -> list[str]:
    """What the boxes or hidden fields of a page send."""
    return [html.unescape(value) for value in re.findall(r'name="id" value="([^"]+)"', text)]


def section(text: str, name: str) -> str:
    return text.partition(f'<h2 id="{name}">')[2].partition("</section>")[0]


@pytest.fixture
def operator(busy: Scene) -> Browser:
    """A console that may act."""
    return browser(busy, operate=True)


ACTS = [
    ("dead", "redrive", "3 redriven", 3),  # until their dispatcher takes them
    ("dead", "purge", "3 purged", 0),
    ("held", "release", "2 released", 2),
    ("held", "cancel", "2 cancelled", 0),
    ("overdue", "release-batches", "1 released", 0),
    ("overdue", "cancel-batches", "1 cancelled", 0),
]


@pytest.mark.parametrize(("kind", "action", "done", "left"), ACTS)
def test_an_action_says_what_will_happen_and_does_it(
    operator: Browser, kind: str, action: str, done: str, left: int
) -> None:
    those = ticked(section(operator.page("/trouble"), kind))
    reviewed = operator.page(f"/review/{action}?{urlencode({'id': those}, doseq=True)}")
    assert those == ticked(reviewed)
    assert ACTIONS[action].effect.split(".")[0] in html.unescape(reviewed)
    answer = operator.post(f"/do/{action}", id=those, why="the DAG is there")
    assert done in answer.text
    (recorded,) = json.loads(shell("operations", "--stack-name", "mwaa-gateway", "-o", "json").stdout)
    assert (recorded["command"], recorded["why"]) == (ACTIONS[action].command, "the DAG is there")
    assert {one.partition("|")[0] for one in those} == set(recorded["ids"])
    assert "left as they are" not in answer.text
    assert len(ticked(section(operator.page("/trouble"), kind))) == left


def test_an_action_leaves_what_was_not_ticked(operator: Browser) -> None:
    those = ticked(section(operator.page("/trouble"), "dead"))
    assert "1 redriven" in operator.post("/do/redrive", id=those[1:2]).text
    bodies = operator.scene.gateway.bodies("trigger-analytics")
    requests = [TriggerRequest.from_json(body).target.run_id for body in bodies]
    assert requests == [those[1].partition("|")[0]]


def test_an_action_leaves_what_has_changed_since_it_was_ticked(operator: Browser) -> None:
    """Redriven by somebody else, and dead again: what the operator saw is not how it stands."""
    scene = operator.scene
    those = ticked(section(operator.page("/trouble"), "dead"))
    run_id, _, _ = those[0].partition("|")
    assert shell("dlq", "redrive", run_id, "--stack-name", "mwaa-gateway").exit_code == 0
    scene.gateway.dynamodb.delete_item(
        TableName=scene.gateway.outputs["RulesTableName"],
        Key=rules_key(PAUSE_PARTITION, environment_sort("analytics")),
    )
    scene.gateway.airflow.answers = [NO]
    scene.gateway.deliver_all()
    reviewed = operator.page(f"/review/purge?{urlencode({'id': those}, doseq=True)}")
    assert those[1:] == ticked(reviewed)
    assert "Left as they are" in reviewed
    done = operator.post("/do/purge", id=those).text
    assert "2 purged, 1 left as they are" in done
    assert "it has changed since you ticked it" in done
    assert [one.partition("|")[0] for one in ticked(section(operator.page("/trouble"), "dead"))] == [run_id]


def test_dead_events_are_redriven_and_purged(operator: Browser) -> None:
    gateway = operator.scene.gateway
    for name in ("one", "two"):
        gateway.publish(payload={"id": name, "detail-type": "x"})
    shown = operator.page("/trouble/events")
    first, second = ticked(shown)
    assert "apply the rule" in shown
    assert gateway.visible("ingress-dlq") == 2
    assert "1 redriven" in operator.post("/do/redrive-events", id=[first]).text
    assert gateway.visible("ingress-retry") == 1
    assert "1 purged" in operator.post("/do/purge-events", id=[second]).text
    assert "None." in operator.page("/trouble/events")


def test_a_console_that_only_looks_has_no_actions(visitor: Browser) -> None:
    for kind, action, *_ in ACTS:
        assert visitor.get(f"/review/{action}?id=x|1").status_code == 403, kind
        assert visitor.post(f"/do/{action}", id=["x|1"]).status_code == 403, kind


def test_a_console_that_only_looks_refuses_every_call_that_changes_something(busy: Scene) -> None:
    """Whatever the pages do: below them, no call but a read leaves the process."""
    looks, acts = (busy.console(operate=operate).connected() for operate in (False, True))
    url = busy.gateway.queue("collect")
    with pytest.raises(Refused, match="only looks"):
        looks.sqs.send_message(QueueUrl=url, MessageBody="x")
    with pytest.raises(Refused, match="only looks"):
        looks.client("sns").publish(TopicArn="arn:aws:sns:eu-west-1:123456789012:t", Message="x")
    with pytest.raises(Refused, match="only looks"):
        looks.dynamodb.delete_item(TableName="ledger", Key={"event": {"S": "e"}, "request": {"S": "r"}})
    assert busy.gateway.visible("collect") == 0
    acts.sqs.send_message(QueueUrl=url, MessageBody="x")
    assert busy.gateway.visible("collect") == 1


@pytest.mark.parametrize("csrf", ["", "wrong"])
def test_every_form_is_refused_without_its_token(operator: Browser, csrf: str) -> None:
    """The cookie alone is not enough."""
    those = ticked(section(operator.page("/trouble"), "dead"))
    for path in ("/rules/try", *(f"/do/{action}" for action in ACTIONS)):
        answer = operator.client.post(path, data={"id": those, "csrf": csrf}, headers={"Origin": ORIGIN})
        assert answer.status_code == 403, path
    assert len(ticked(section(operator.page("/trouble"), "dead"))) == 3


def test_a_form_without_origin_or_of_another_is_refused(operator: Browser) -> None:
    data = {"id": ["x|1"], "csrf": operator.csrf}
    assert operator.client.post("/do/redrive", data=data).status_code == 403
    for origin in ("https://evil.example", f"http://127.0.0.1:{PORT + 1}", "null"):
        answer = operator.client.post("/do/redrive", data=data, headers={"Origin": origin})
        assert answer.status_code == 403, origin
    assert operator.client.put("/do/redrive", headers={"Origin": ORIGIN}).status_code == 405


def test_an_action_does_nothing_without_a_get(operator: Browser) -> None:
    assert operator.get("/do/redrive?id=x|1").status_code == 405


def test_an_action_that_fails_says_that_it_is_not_known(
    operator: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, "InternalServerError", "Query")
    answer = operator.post("/do/release", id=["x|1"])
    assert "not known whether it was done" in answer.text


def test_a_form_that_is_too_large_is_refused(visitor: Browser) -> None:
    assert visitor.post("/rules/try", event="x" * 1_000_001).status_code == 413


# --- the command


@pytest.mark.parametrize("operate", [False, True])
def test_the_command_prints_the_address_that_works_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, *, operate: bool
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(
        command, "serve", lambda guard, listener: served.append((guard, listener.getsockname()))
    )
    result = shell("console", "--no-browser", *(["--operate"] if operate else []))
    ((guard, (host, port)),) = served
    assert host == "127.0.0.1"
    assert guard.url.startswith(f"http://127.0.0.1:{port}/?token=")
    assert guard.url in result.stderr
    assert ("Actions are allowed" in result.stderr) is operate
    assert scene.calls == []


def test_a_port_that_is_taken_is_refused(scene: Scene) -> None:  # noqa: ARG001
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = shell("console", "--no-browser", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 1
    assert "is not free" in result.stderr


def test_other_commands_do_not_pay_for_the_console() -> None:
    loads = "import sys; from gateway_cli.main import cli; cli(['rules', '--help'], standalone_mode=False)"
    asks = f"{loads}; print([name for name in ('starlette', 'uvicorn', 'jinja2') if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", asks], check=True, capture_output=True, text=True)
    assert shown.stdout.splitlines()[-1] == "[]"
