"""`mwaa-gateway dlq` as it is used: what is dead is listed, explained, sent again to one run, and put away."""

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import click
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from click.testing import Result

from fakes.ledger_table import LEDGER_TABLE
from fakes.requests import a_request
from gateway_cli.dlq import received_messages
from gateway_cli.dlq.commands import dlq
from gateway_cli.dlq.remedies import REMEDIES, remedy
from gateway_cli.ledger_rows import LedgerRow, LedgerRows
from gateway_cli.rules.store import RulesStore
from integration.operated import NO, Gateway
from integration.shell import shell
from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.outcomes import AlreadyTriggered, Outcome, Reason, Rejected, Triggered
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.trigger_request import TriggerRequest

ROOT = Path(__file__).parents[2]
MISSING = Rejected(Reason.DAG_MISSING, "Airflow said DagNotFound: no DAG 'ingest_orders'")
Run = Callable[..., Result]


@pytest.fixture
def gateway(operated: Gateway) -> Gateway:
    """The gateway that the command is for."""
    return operated


@pytest.fixture
def run(gateway: Gateway) -> Run:  # noqa: ARG001 - where the command runs
    """Run the command in that account, as a shell would."""
    return partial(shell, "dlq")


def listed(run: Run, *words: str) -> list[dict[str, Any]]:
    """The JSON output of `dlq list`."""
    return json.loads(run("list", *words, "-o", "json").stdout)


class TestList:
    """What is dead, wherever it died, under one table."""

    def test_nothing_is_dead(self, run: Run) -> None:
        """An empty list is no error, and no table of nothing."""
        output = run("list")
        assert (0, "", "there are no dead letters\n") == (output.exit_code, output.stdout, output.stderr)
        assert [] == listed(run)

    def test_a_dead_request_says_everything(self, run: Run, gateway: Gateway) -> None:
        """Its id is the run_id, as in Airflow and the logs; the reason quotes Airflow; its message is no second entry."""
        request = gateway.die()
        (entry,) = listed(run)
        assert {
            "id": request.target.run_id,
            "died_in": "dispatcher",
            "reason": "conf_refused",
            "reason_text": NO.text,
            "rule_id": "finance.orders",
            "rule_version": 3,
            "environment": "analytics",
            "dag_id": "ingest_orders",
            "event": "one",
            "attempts": 1,
            "redrives": 0,
        }.items() <= entry.items()
        assert REMEDIES[Reason.CONF_REFUSED] == entry["next"]

    def test_a_table_for_people(self, run: Run, gateway: Gateway) -> None:
        """One line each; what can be copied is whole."""
        request = gateway.die()
        result = run("list")
        assert result.stdout.splitlines()[0].split()[:2] == ["ID", "DIED"]
        line = next(line for line in result.stdout.splitlines() if request.target.run_id in line)
        assert line.split()[3:] == [
            "dispatcher",
            "conf_refused",
            "finance.orders",
            "analytics:ingest_orders",
            "1",
        ]

    @pytest.mark.parametrize(
        ("queue", "message", "expected"),
        [
            (
                "ingress-dlq",
                (
                    json.dumps(
                        {
                            "version": "1.0",
                            "requestContext": {"condition": "RetriesExhausted"},
                            "requestPayload": {"id": "e-7"},
                            "responsePayload": {"errorType": "Unavailable", "errorMessage": "rules table"},
                        }
                    ),
                    {},
                ),
                ("Lambda", "lambda_gave_up", "RetriesExhausted; Unavailable: rules table", "e-7", None),
            ),
            (
                "ingress-dlq",
                (
                    '{"id": "e-8", "detail-type": "Order Placed", "source": "acme"}',
                    {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "no"},
                ),
                ("EventBridge", "eventbridge_gave_up", "NO_PERMISSIONS: no", "e-8", None),
            ),
            (
                "ingress-dlq",
                (
                    '{"Type": "Notification", "MessageId": "m-9", "TopicArn": "arn:aws:sns:eu-west-1:1:t"}',
                    {"ErrorCode": "ClientError", "ErrorMessage": "denied"},
                ),
                ("SNS", "sns_gave_up", "ClientError: denied", "m-9", None),
            ),
            ("ingress-dlq", ("[1]", {}), ("ingress", "unknown", "", None, None)),
            (
                "ingress-dlq",
                ('{"format": 1, "rule_id": "a.b", "rule": {}, "member": {"id": "e1"}}', {}),
                (
                    "collect queue",
                    "member_not_collected",
                    "SQS moved it here; it is in no batch",
                    None,
                    None,
                ),
            ),
            (
                "trigger-dlq-legacy",
                (
                    '{"format": 1, "reason": "message_unreadable", "reason_text": "format 2", "body": "{}"}',
                    {},
                ),
                ("trigger queue", "message_unreadable", "format 2", None, "legacy"),
            ),
            (
                "trigger-dlq-legacy",
                (a_request("r", environment="legacy").to_json(), {}),
                (
                    "trigger queue",
                    "received_too_often",
                    "SQS moved it here; it may be open in the ledger",
                    "r",
                    "legacy",
                ),
            ),
            (
                "trigger-dlq-legacy",
                ('{"a": 1}', {}),
                ("trigger queue", "unknown", "not a trigger request: KeyError: 'format'", None, "legacy"),
            ),
        ],
        ids=[
            "lambda",
            "eventbridge",
            "sns",
            "stranger",
            "member",
            "unreadable",
            "moved by SQS",
            "stranger in between",
        ],
    )
    def test_whoever_wrote_the_message(
        self, run: Run, gateway: Gateway, queue: str, message: tuple[str, dict[str, str]], expected: tuple
    ) -> None:
        """Each that may write to a dead-letter queue has its own form; what nobody of them wrote is listed, too."""
        body, attributes = message
        gateway.send(queue, body, **attributes)
        (entry,) = listed(run)
        assert expected == tuple(
            entry[name] for name in ("died_in", "reason", "reason_text", "event", "environment")
        )

    @pytest.mark.parametrize("reason", DeadEventReason)
    def test_events_that_were_put_aside(self, run: Run, gateway: Gateway, reason: DeadEventReason) -> None:
        """By the name that ingress logged; none of them is a reason of Airflow's, whose remedy is another."""
        assert reason not in set(Reason)
        gateway.publish(reason)
        (entry,) = listed(run)
        assert remedy(reason) == entry["next"]
        assert ("ingress", reason, "the reason", "e-1", "finance.orders", 3) == tuple(
            entry[name] for name in ("died_in", "reason", "reason_text", "event", "rule_id", "rule_version")
        )

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (
                "rule 'a': the conf of target 'default' would have 40000 bytes; at most 32768 are allowed. Name only …",
                "conf_too_large",
            ),
            ("rule 'a': the event has a field 'mwaa_gateway', where the conf says …", "conf_not_made"),
        ],
    )
    def test_a_conf_that_version_0_1_0_put_aside(
        self, run: Run, gateway: Gateway, text: str, reason: str
    ) -> None:
        """It wrote conf_refused for both, as if Airflow had: listed and found by what it is called now."""
        body = {"format": 1, "reason": "conf_refused", "reason_text": text, "event_id": "e-1", "payload": {}}
        gateway.send("ingress-dlq", json.dumps(body))
        (entry,) = listed(run, "--reason", reason)
        assert (reason, remedy(reason)) == (entry["reason"], entry["next"])

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ([], "new old other e-1"),
            (["--environment", "legacy"], "other"),
            (["--rule", "finance.orders"], "new old other e-1"),
            (["--reason", "dag_missing"], "old"),
            (["--newer-than", "2h"], "new other e-1"),
            (["--older-than", "2h"], "old"),
            (["--newer-than", "4d", "--older-than", "3600s"], "old"),
            (["--newer-than", "2h", "--reason", "dag_missing"], ""),
        ],
    )
    def test_filters(self, run: Run, gateway: Gateway, filters: list[str], expected: str) -> None:
        """Each alone, and together; what has no environment is none of a given one."""
        gateway.die("new")
        gateway.die("old", MISSING, ago=3 * 86_400)
        gateway.die("other", environment="legacy")
        gateway.publish()
        assert set(expected.split()) == {entry["event"] for entry in listed(run, *filters)}

    def test_a_limit_shows_the_newest_and_says_so(self, run: Run, gateway: Gateway) -> None:
        """Not a page of silence about the rest."""
        for hours in range(5):
            gateway.die(f"{hours} h", ago=hours * 3600)
        result = run("list", "--limit", "2", "-o", "json")
        assert ["0 h", "1 h"] == [entry["event"] for entry in json.loads(result.stdout)]
        assert "3 more" in result.stderr

    def test_looking_takes_nothing_away(self, run: Run, gateway: Gateway) -> None:
        """Every message is given back at once, and is there for the next who looks."""
        gateway.die()
        for number in range(25):
            gateway.publish(text=f"{number}")
        assert 26 == len(listed(run))
        assert (25, 1) == (gateway.visible("ingress-dlq"), gateway.visible("trigger-dlq-analytics"))
        assert 26 == len(listed(run))

    def test_who_asks_for_one_environment_hides_no_message_of_another(
        self, run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody else may be looking there; a message that is received is away for a while."""
        for name in ("analytics", "legacy"):
            gateway.die(name, environment=name)
        received, ask_aws = set(), BaseClient._make_api_call

        def call(self: BaseClient, operation: str, params: Any) -> Any:
            if operation == "ReceiveMessage":
                received.add(params["QueueUrl"])
            return ask_aws(self, operation, params)

        monkeypatch.setattr(BaseClient, "_make_api_call", call)
        assert ["legacy"] == [entry["event"] for entry in listed(run, "--environment", "legacy")]
        assert {gateway.queue("trigger-dlq-legacy")} == received

    def test_a_request_that_is_not_in_the_index_yet_is_found_by_its_message(
        self, run: Run, gateway: Gateway
    ) -> None:
        """The index follows the row a moment later."""
        request = gateway.die()
        event, sort = request.ledger_key
        gateway.dynamodb.update_item(
            TableName=LEDGER_TABLE,
            Key={"event": {"S": event}, "request": {"S": sort}},
            UpdateExpression="REMOVE stopped_shard",
        )
        assert [request.target.run_id] == [entry["id"] for entry in listed(run)]

    @pytest.mark.parametrize(
        "words",
        [
            ["list", "--older-than", "soon"],
            ["redrive"],
            ["purge", "--yes"],
            ["redrive", "an-id", "--rule", "finance.orders"],
            ["redrive", "--all", "--rule", "finance.orders"],
        ],
        ids=" ".join,
    )
    def test_a_wrong_command_line(self, run: Run, words: list[str]) -> None:
        """Exit code 2, with what to write instead; nothing is sent without being asked for."""
        result = run(*words)
        assert (2, True) == (result.exit_code, "Error: " in result.stderr)

    def test_an_unknown_environment_is_refused(self, run: Run) -> None:
        """A typing error is no empty list."""
        result = run("list", "--environment", "analytic")
        assert (1, "the gateway has no environment 'analytic'; did you mean 'analytics'?") == (
            result.exit_code,
            result.stderr.strip().removeprefix("Error: "),
        )

    @pytest.mark.parametrize(
        ("filters", "said"),
        [
            (["--rule", "finance.ordres"], "there is no such rule; did you mean 'finance.orders'?"),
            (["--rule", "crm"], "there is no such rule; `mwaa-gateway rules list` lists the rules"),
            (["--reason", "dag_mising"], "there is no such reason; did you mean 'dag_missing'?"),
            (["--reason", "?"], "there is no such reason; known are airflow_refused, "),
        ],
    )
    def test_a_name_that_does_not_exist_is_refused(
        self, run: Run, gateway: Gateway, filters: list[str], said: str
    ) -> None:
        """By every command: nothing was listed, sent or purged by a typing error."""
        gateway.die()
        for command in (["list"], ["redrive"], ["purge", "--yes"]):
            result = run(*command, *filters)
            assert (1, True) == (result.exit_code, said in result.stderr), result.stderr
        assert 1 == len(listed(run))

    @pytest.mark.parametrize("state", ["there", "deleted"])
    def test_a_rule_of_which_nothing_is_dead(self, run: Run, gateway: Gateway, state: str) -> None:
        """It is known, though it may be deleted: nothing matches, which is said, and is no error."""
        store = RulesStore(gateway.dynamodb, "rules")
        rule = parse_rule(
            {
                "id": "finance.else",
                "pattern": {"source": ["x"]},
                "target": {"environment": "legacy", "dag_id": "a"},
            },
            environments=None,
        )
        store.put(rule, by="me", now=datetime.now(UTC))
        if state == "deleted":
            store.delete(rule.id, by="me", now=datetime.now(UTC))
        gateway.die()
        output = run("list", "--rule", rule.id, "--newer-than", "2h")
        assert (0, "", "nothing matches: there are no dead letters of this rule and age\n") == (
            output.exit_code,
            output.stdout,
            output.stderr,
        )
        assert "nothing matches" in run("redrive", "--reason", "dag_missing").stderr

    def test_a_reason_of_a_later_version_is_known_by_what_has_it(self, run: Run, gateway: Gateway) -> None:
        """A filter can name every field that a dead letter shows."""
        gateway.send("ingress-dlq", json.dumps({"reason": "new_reason", "reason_text": "x"}))
        assert ["new_reason"] == [entry["reason"] for entry in listed(run, "--reason", "new_reason")]

    def test_suggestions_need_no_permission(
        self, run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The operator's policy reads single rules: what is dead suggests names, and the refusal is the same."""
        gateway.die()
        denied = ClientError({"Error": {"Code": "AccessDeniedException"}}, "Query")
        monkeypatch.setattr(RulesStore, "list", MagicMock(side_effect=denied))
        assert "did you mean 'finance.orders'?" in run("list", "--rule", "finance.ordres").stderr


class TestShow:
    """Everything about one."""

    def test_a_request(self, run: Run, gateway: Gateway) -> None:
        """Reason, times, what to do, the conf and the event."""
        request = gateway.die()
        shown = run("show", request.target.run_id).stdout
        for text in (
            NO.text,
            remedy("conf_refused"),
            '"key": "orders/1.csv"',
            '"detail-type": "Object Created"',
        ):
            assert text in shown
        document = json.loads(run("show", request.target.run_id, "-o", "json").stdout)
        assert (request.target.conf, request.event, True) == (
            document["conf"],
            document["event_document"],
            document["rings"],
        )

    @pytest.mark.parametrize("body", ['{"a": 1}', "no json"])
    def test_a_message(self, run: Run, gateway: Gateway, body: str) -> None:
        """As it lies in the queue."""
        gateway.send("ingress-dlq", body)
        (entry,) = listed(run)
        shown = run("show", entry["id"])
        assert body.replace("{", "").strip("}") in shown.stdout

    def test_nothing_of_that_name(self, run: Run) -> None:
        """And where to look."""
        result = run("show", "evt__x")
        assert (1, True) == (result.exit_code, "there is no dead letter evt__x" in result.stderr)


class TestRedrive:
    """A redrive after the repair starts one run, whatever happens."""

    def redriven(self, gateway: Gateway, environment: str = "analytics") -> list[str]:
        return gateway.bodies(f"trigger-{environment}")

    def test_died_mended_redriven_is_one_run(self, run: Run, gateway: Gateway) -> None:
        """The redrive sends the pinned request with its redrive number; the message is gone and the list is empty."""
        request = gateway.die(ago=5 * 86_400)
        result = run("redrive", request.target.run_id)
        assert (0, "redriven: 1, left as they are: 0\n") == (result.exit_code, result.stdout)
        assert 0 == gateway.visible("trigger-dlq-analytics")
        (body,) = self.redriven(gateway)
        assert replace(request, redrive=1) == TriggerRequest.from_json(body)
        assert Triggered() == gateway.dispatch(body)
        assert [request.target] == list(gateway.airflow.runs.values())
        assert [] == listed(run)

    def test_redriven_twice_is_one_run(self, run: Run, gateway: Gateway) -> None:
        """Two people at once send two messages; whichever order they arrive in, and also when the run is purged."""
        request = gateway.die()
        for _ in range(2):
            assert 0 == run("redrive", "--all").exit_code
        bodies = self.redriven(gateway)
        assert 2 == len(bodies)
        assert Triggered() == gateway.dispatch(bodies[1])
        gateway.airflow.runs.clear()
        for body in (*bodies, request.to_json()):
            assert isinstance(gateway.dispatch(body), AlreadyTriggered)
        assert {} == gateway.airflow.runs

    def test_redriven_while_in_flight_is_one_run(self, run: Run, gateway: Gateway) -> None:
        """The second message comes while the first one's command is on its way."""
        gateway.die()
        run("redrive", "--all")
        run("redrive", "--all")
        first, second = self.redriven(gateway)
        inner: list[Outcome] = []
        gateway.airflow.during_trigger = lambda: inner.append(gateway.dispatch(second))
        gateway.dispatch(first)
        assert [Triggered()] == inner
        assert isinstance(gateway.dispatch(first), AlreadyTriggered)
        assert 1 == len(gateway.airflow.runs)

    def test_what_dies_again_rings_again_and_is_redriven_again(self, run: Run, gateway: Gateway) -> None:
        """The second redrive has the next number, so that a late message of the first starts nothing."""
        gateway.die()
        run("redrive", "--all")
        (first,) = self.redriven(gateway)
        gateway.airflow.answers = [NO]
        assert isinstance(gateway.dispatch(first), Rejected)
        (entry,) = listed(run)
        assert (1, 2) == (entry["redrives"], entry["attempts"])
        run("redrive", "--all")
        (second,) = self.redriven(gateway)
        assert [1, 2] == [TriggerRequest.from_json(body).redrive for body in (first, second)]
        assert isinstance(gateway.dispatch(first), Rejected)
        assert Triggered() == gateway.dispatch(second)
        assert 1 == len(gateway.airflow.runs)

    def test_what_is_not_dead_any_more_is_left(
        self, run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody else redrove it between the look and the sending: said, with exit code 1, and nothing is sent."""
        gateway.die("first", ago=60)
        second = gateway.die("second")
        delete = received_messages.ReceivedMessages.delete

        def rival(
            self: Any, messages: Any
        ) -> dict[str, str]:  # the first is done: now the second comes to life
            gateway.dispatch(replace(second, redrive=1).to_json())
            return delete(self, messages)

        monkeypatch.setattr(received_messages.ReceivedMessages, "delete", rival)
        monkeypatch.setattr("gateway_cli.dlq.redrive.AT_ONCE", 1)
        result = run("redrive", "--all")
        assert (1, "redriven: 1, left as they are: 1\n") == (result.exit_code, result.stdout)
        assert f"{second.target.run_id}: it is no longer dead, but triggered" in result.stderr
        assert 1 == gateway.visible("trigger-analytics")

    def test_a_stale_message_is_listed_and_deleted(self, run: Run, gateway: Gateway) -> None:
        """A redrive was killed before it deleted the message; the next one deletes it, and the alarm ends."""
        request = gateway.die()
        gateway.dispatch(replace(request, redrive=1).to_json())
        result = run("list")
        assert "stale messages, whose requests are no longer dead: 1;" in result.stderr
        assert 0 == run("redrive", "--all").exit_code
        assert ([], 0) == (self.redriven(gateway), gateway.visible("trigger-dlq-analytics"))

    def test_a_message_that_arrives_meanwhile_stays(
        self, run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The redriven request dies again before the command has ended: the new message stays."""
        gateway.die()
        delete = received_messages.ReceivedMessages.delete

        def dies_again(self: Any, messages: Any) -> dict[str, str]:
            for body in gateway.bodies("trigger-analytics"):
                gateway.airflow.answers = [NO]
                gateway.dispatch(body)
            return delete(self, messages)

        monkeypatch.setattr(received_messages.ReceivedMessages, "delete", dies_again)
        run("redrive", "--all")
        (new_message,) = gateway.bodies("trigger-dlq-analytics")
        assert 1 == json.loads(new_message)["request"]["redrive"]

    def test_filters_and_a_limit(self, run: Run, gateway: Gateway) -> None:
        """The oldest first; the others stay dead, and keep ringing."""
        for hours in range(5):
            gateway.die(f"{hours} h", MISSING, ago=hours * 3600)
        gateway.die("refused", ago=9 * 3600)
        run("redrive", "--reason", "dag_missing", "--limit", "2")
        assert ["4 h", "3 h"] == [TriggerRequest.from_json(body).identity for body in self.redriven(gateway)]
        assert 4 == gateway.visible("trigger-dlq-analytics")

    def test_many(self, run: Run, gateway: Gateway) -> None:
        """More than a batch, in two environments: each to its own queue."""
        for number in range(23):
            gateway.die(f"{number}")
        gateway.die("elsewhere", environment="legacy")
        output = json.loads(run("redrive", "--all", "-o", "json").stdout)
        assert (24, []) == (len(output["redriven"]), output["left"])
        assert (23, 1) == (len(self.redriven(gateway)), len(self.redriven(gateway, "legacy")))
        assert 0 == gateway.visible("trigger-dlq-analytics") + gateway.visible("trigger-dlq-legacy")

    def test_a_dry_run_sends_nothing(self, run: Run, gateway: Gateway) -> None:
        """It shows which they would be."""
        request = gateway.die()
        gateway.publish()
        result = run("redrive", "--all", "--dry-run")
        assert (True, "2 dead letters would be redriven\n") == (
            request.target.run_id in result.stdout,
            result.stderr,
        )
        assert (0, 0) == (gateway.visible("trigger-analytics"), gateway.visible("ingress-retry"))
        assert (1, 1) == (gateway.visible("trigger-dlq-analytics"), gateway.visible("ingress-dlq"))

    def test_an_event_goes_back_to_ingress_as_it_lies_there(self, run: Run, gateway: Gateway) -> None:
        """`queued_events` reads what the gateway's own functions, Lambda, EventBridge and SNS put aside."""
        gateway.publish()
        gateway.send("ingress-dlq", '{"requestPayload": {"id": "e-7"}}')
        gateway.send("ingress-dlq", '{"id": "e-8", "detail-type": "x"}', ERROR_CODE="NO_PERMISSIONS")
        before = [entry["id"] for entry in listed(run)]
        output = json.loads(run("redrive", "--all", "-o", "json").stdout)
        assert set(before) == set(output["redriven"])
        assert 0 == gateway.visible("ingress-dlq")
        sent = [json.loads(body) for body in gateway.bodies("ingress-retry")]
        assert {"id": "e-1", "detail-type": "x"} in [document.get("payload") for document in sent]
        assert {"requestPayload": {"id": "e-7"}} in sent
        assert {"id": "e-8", "detail-type": "x"} in sent

    def test_a_message_of_the_trigger_queue_goes_back_there(self, run: Run, gateway: Gateway) -> None:
        """As it was, without what the dispatcher wrapped around it."""
        gateway.send("trigger-dlq-legacy", a_request("moved", environment="legacy").to_json())
        assert isinstance(gateway.dispatch('{"format": 2}', "legacy"), Rejected)
        run("redrive", "--environment", "legacy")
        assert {a_request("moved", environment="legacy").to_json(), '{"format": 2}'} == set(
            self.redriven(gateway, "legacy")
        )
        assert 0 == gateway.visible("trigger-dlq-legacy")

    def test_a_send_that_fails_leaves_the_rest_dead(
        self, run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each with the reason; what was not sent is still in its dead-letter queue."""
        for number in range(15):
            gateway.die(f"{number}", ago=number)
        ask_aws = BaseClient._make_api_call
        answers = iter([True])

        def failing(self: Any, operation: str, params: Any) -> Any:
            if operation == "SendMessageBatch" and not next(answers, False):
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)
            return ask_aws(self, operation, params)

        monkeypatch.setattr(BaseClient, "_make_api_call", failing)
        result = run("redrive", "--all")
        monkeypatch.setattr(BaseClient, "_make_api_call", ask_aws)
        assert (1, "redriven: 10, left as they are: 5\n") == (result.exit_code, result.stdout)
        assert 5 == result.stderr.count("AccessDenied")
        assert (10, 5) == (gateway.visible("trigger-analytics"), gateway.visible("trigger-dlq-analytics"))

    def test_a_request_of_a_removed_environment_stops_no_other(self, run: Run, gateway: Gateway) -> None:
        """It is left with the reason, and the exit code says that something was; the others are sent."""
        gateway.die("one", ago=3)
        removed = gateway.die("two", environment="legacy", ago=2)
        gateway.die("three", ago=1)
        gateway.outputs["EnvironmentNames"] = "analytics"
        result = run("redrive", "--all")
        assert (1, "redriven: 2, left as they are: 1\n") == (result.exit_code, result.stdout)
        assert f"{removed.target.run_id}: the gateway no longer has environment 'legacy'" in result.stderr
        assert 2 == gateway.visible("trigger-analytics")

    def test_an_environment_whose_queue_refuses_stops_no_other(
        self, run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Seven of its requests are older than all others: five are tried, and every one is named."""
        for number in range(7):
            gateway.die(f"l{number}", environment="legacy", ago=100 - number)
        for number in range(12):
            gateway.die(f"a{number}", ago=number)
        event = gateway.publish()
        ask_aws = BaseClient._make_api_call
        alone: list[int] = []

        def failing(self: Any, operation: str, params: Any) -> Any:
            if operation == "SendMessageBatch" and params["QueueUrl"].endswith("legacy"):
                alone.append(len(params["Entries"]))
                raise ClientError({"Error": {"Code": "KmsDisabled", "Message": "no"}}, operation)
            return ask_aws(self, operation, params)

        with monkeypatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", failing)
            output = run("redrive", "--all", "-o", "json")
        document = json.loads(output.stdout)
        assert (1, 13, 7) == (output.exit_code, len(document["redriven"]), len(document["left"]))
        assert all("KmsDisabled" in left["why"] for left in document["left"])
        assert [7, 1, 1, 1, 1, 1] == alone
        assert (12, 1) == (gateway.visible("trigger-analytics"), gateway.visible("ingress-retry"))
        assert event is not None

    def test_a_row_that_was_changed_by_hand_stops_no_other(self, run: Run, gateway: Gateway) -> None:
        """Its request cannot be read any more: it stays dead, and is named."""
        broken = gateway.die("one", ago=1)
        gateway.die("two")
        event, request = broken.ledger_key
        gateway.dynamodb.update_item(
            TableName=LEDGER_TABLE,
            Key={"event": {"S": event}, "request": {"S": request}},
            UpdateExpression="SET request_body = :nonsense",
            ExpressionAttributeValues={":nonsense": {"B": b"nonsense"}},
        )
        result = run("redrive", "--all")
        assert (1, "redriven: 1, left as they are: 1\n") == (result.exit_code, result.stdout)
        assert f"{broken.target.run_id}: the ledger's row contains no readable request" in result.stderr

    def test_a_row_that_cannot_be_read_now_stops_no_other(
        self, run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DynamoDB refuses one of three."""
        for number in range(3):
            gateway.die(f"{number}", ago=number)
        ask_aws = BaseClient._make_api_call
        refused = iter([True])

        def failing(self: Any, operation: str, params: Any) -> Any:
            if operation == "GetItem" and params["TableName"] == LEDGER_TABLE and next(refused, False):
                raise ClientError({"Error": {"Code": "InternalServerError", "Message": "no"}}, operation)
            return ask_aws(self, operation, params)

        with monkeypatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", failing)
            result = run("redrive", "--all")
        assert (1, "redriven: 2, left as they are: 1\n") == (result.exit_code, result.stdout)
        assert "GetItem failed with InternalServerError" in result.stderr

    @pytest.mark.guarantee(44)
    @pytest.mark.parametrize("command", ["redrive", "purge --yes"])
    @pytest.mark.parametrize("whole", [True, False], ids=["call refused", "one entry refused"])
    def test_a_message_that_is_not_deleted_stops_no_other(
        self, run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, command: str, *, whole: bool
    ) -> None:
        """Its dead letter is named; the messages of the other queue, and the next ten, are deleted."""
        gateway.publish()
        for number in range(12):
            gateway.die(f"{number}", ago=number)
        ask_aws = BaseClient._make_api_call

        def failing(self: Any, operation: str, params: Any) -> Any:
            if operation != "DeleteMessageBatch" or "ingress" not in params["QueueUrl"]:
                return ask_aws(self, operation, params)
            if whole:
                raise ClientError({"Error": {"Code": "KmsDisabled", "Message": "no"}}, operation)
            return {"Failed": [{"Id": "0", "Code": "KmsDisabled", "SenderFault": False}]}

        with monkeypatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", failing)
            result = run(*command.split(), "--all")
        verb = "redriven" if command == "redrive" else "purged"
        assert (1, f"{verb}: 13, left as they are: 1\n") == (result.exit_code, result.stdout)
        assert f"it is {verb}, but SQS did not delete its message" in result.stderr
        assert "KmsDisabled" in result.stderr
        assert (0, 1) == (gateway.visible("trigger-dlq-analytics"), gateway.visible("ingress-dlq"))


@pytest.mark.guarantee(44)
class TestUnread:
    """A queue or row that cannot be read hides no other, is named, and shows in the exit code."""

    @pytest.fixture
    def failing(self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        """The dead-letter queue of `legacy` cannot be read; each of the others has one dead letter."""
        gateway.die()
        gateway.publish()
        ask_aws = BaseClient._make_api_call

        def ask(self: Any, operation: str, params: Any) -> Any:
            if operation == "ReceiveMessage" and params["QueueUrl"].endswith("trigger-dlq-legacy"):
                raise ClientError({"Error": {"Code": "KmsDisabled", "Message": "no"}}, operation)
            return ask_aws(self, operation, params)

        monkeypatch.setattr(BaseClient, "_make_api_call", ask)

    @pytest.mark.usefixtures("failing")
    @pytest.mark.parametrize("command", ["list", "redrive --all --dry-run", "purge --all --dry-run"])
    def test_what_can_be_read_is_listed(self, run: Run, command: str) -> None:
        """Then the queue is named."""
        result = run(*command.split(), "-o", "json")
        assert (1, 2) == (result.exit_code, len(json.loads(result.stdout)))
        assert "trigger-dlq-legacy could not be read: ReceiveMessage failed with KmsDisabled" in result.stderr

    @pytest.mark.usefixtures("failing")
    @pytest.mark.parametrize(("command", "verb"), [("redrive", "redriven"), ("purge --yes", "purged")])
    def test_what_can_be_read_is_done(self, run: Run, gateway: Gateway, command: str, verb: str) -> None:
        """The queue counts as left."""
        result = run(*command.split(), "--all")
        assert (1, f"{verb}: 2, left as they are: 1\n") == (result.exit_code, result.stdout)
        assert "trigger-dlq-legacy: ReceiveMessage failed with KmsDisabled" in result.stderr
        assert 0 == gateway.visible("trigger-dlq-analytics")

    def test_a_row_that_cannot_be_read(
        self, run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The request of a message is no longer in the index: whether the message is stale is unknown, so it stays."""
        done = [gateway.die(f"{number}") for number in range(2)]
        for request in done:
            gateway.dispatch(replace(request, redrive=1).to_json())
        gateway.die("dead")
        ask_aws = BaseClient._make_api_call
        refused = iter([True])

        def ask(self: Any, operation: str, params: Any) -> Any:
            if operation == "GetItem" and params["TableName"] == LEDGER_TABLE and next(refused, False):
                raise ClientError({"Error": {"Code": "InternalServerError", "Message": "no"}}, operation)
            return ask_aws(self, operation, params)

        with monkeypatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", ask)
            result = run("redrive", "--all")
        assert (1, "redriven: 1, left as they are: 1\n") == (result.exit_code, result.stdout)
        assert "GetItem failed with InternalServerError" in result.stderr
        assert 1 == gateway.visible("trigger-dlq-analytics")


class TestPurge:
    """A purge deletes the message and removes the request from the list; the ledger's row stays."""

    def test_purged_is_gone_from_the_list_and_stays_dead(self, run: Run, gateway: Gateway) -> None:
        """A late duplicate still finds the row dead."""
        request = gateway.die()
        gateway.publish()
        result = run("purge", "--all", "--yes")
        assert (0, "purged: 2, left as they are: 0\n") == (result.exit_code, result.stdout)
        assert ([], 0, 0) == (
            listed(run),
            gateway.visible("trigger-dlq-analytics"),
            gateway.visible("ingress-dlq"),
        )
        assert NO == gateway.dispatch(request.to_json())
        assert {} == gateway.airflow.runs

    @pytest.mark.parametrize(("typed", "exit_code", "left"), [("y\n", 0, 0), ("n\n", 1, 1), (None, 1, 1)])
    def test_it_asks(self, run: Run, gateway: Gateway, typed: str | None, exit_code: int, left: int) -> None:
        """No answer is a no."""
        gateway.die()
        result = run("purge", "--all", typed=typed)
        assert (exit_code, True) == (result.exit_code, "Purge 1 dead letter?" in result.stderr)
        assert (left, left) == (len(listed(run)), gateway.visible("trigger-dlq-analytics"))

    def test_a_dry_run_deletes_nothing(self, run: Run, gateway: Gateway) -> None:
        """And asks nothing."""
        gateway.die()
        assert 0 == run("purge", "--all", "--dry-run").exit_code
        assert (1, 1) == (len(listed(run)), gateway.visible("trigger-dlq-analytics"))

    def test_only_what_is_meant(self, run: Run, gateway: Gateway) -> None:
        """By filter; the others still ring."""
        gateway.die("old", ago=4 * 86_400)
        gateway.die("new")
        run("purge", "--older-than", "3d", "--yes")
        assert ["new"] == [entry["event"] for entry in listed(run)]
        assert 1 == gateway.visible("trigger-dlq-analytics")

    def test_a_death_after_the_look_is_not_put_away(
        self, run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was redriven and died again meanwhile: nobody has seen that death."""
        request = gateway.die(ago=60)
        take_off = LedgerRows.remove_from_index

        def dies_again(self: LedgerRows, row: LedgerRow) -> bool:
            gateway.airflow.answers = [NO]
            gateway.dispatch(replace(request, redrive=1).to_json())
            return take_off(self, row)

        monkeypatch.setattr(LedgerRows, "remove_from_index", dies_again)
        run("purge", "--all", "--yes")
        assert 1 == len(gateway.bodies("trigger-dlq-analytics"))
        assert [1] == [entry["redrives"] for entry in listed(run)]  # by the index alone


class TestHelpAndRemedies:
    """Nobody on call has to guess."""

    @pytest.mark.parametrize("command", dlq.commands.values(), ids=lambda command: command.name)
    def test_every_command_has_an_example(self, command: click.Command) -> None:
        """In its help, beginning as it is typed; every option says what it does."""
        assert f"mwaa-gateway dlq {command.name}" in inspect.cleandoc(command.help or "")
        assert all(option.help for option in command.params if isinstance(option, click.Option))

    def test_every_reason_to_die_has_a_remedy(self) -> None:
        """Found in the code, wherever a request is rejected."""
        package = ROOT / "layers" / "gateway" / "python" / "mwaa_gateway"
        sources = "".join(file.read_text() for file in package.rglob("*.py"))
        reasons = set(re.findall(r"Rejected\(\s*Reason\.(\w+)", sources))
        assert {"TOO_OLD", "CRASHED", "CONF_REFUSED"} <= reasons
        assert {Reason[name] for name in reasons} - REMEDIES.keys() == set()

    def test_the_page_for_the_one_on_call_has_every_reason(self) -> None:
        """With the same words as `dlq show`."""
        page = (ROOT / "docs" / "dead-letters.md").read_text()
        for reason, words in REMEDIES.items():
            assert f"| `{reason}` | {words} |" in page


@pytest.mark.guarantee(46)
class TestRetainedQueues:
    """A dead-letter queue outlives its environment, and keeps its name when the stack's queues get another suffix."""

    @pytest.fixture
    def retained(self, gateway: Gateway) -> Gateway:
        """Queues of an earlier suffix, of a removed environment and of another stack, with a request in each."""
        for name in ("trigger-dlq-analytics-2", "trigger-dlq-risk", "ingress-dlq-2", "ingress-dlq-of-others"):
            gateway.sqs.create_queue(QueueName=name)
        gateway.send("trigger-dlq-analytics-2", a_request("old suffix").to_json())
        gateway.send("trigger-dlq-risk", a_request("removed", environment="risk").to_json())
        gateway.send("ingress-dlq-2", "{}")
        gateway.send("ingress-dlq-of-others", "{}")
        return gateway

    def test_their_messages_are_listed(self, run: Run, retained: Gateway) -> None:  # noqa: ARG002
        """With the environment they are of; what belongs to somebody else is left alone."""
        found = json.loads(run("list", "-o", "json").stdout)
        assert [None, "analytics", "risk"] == sorted((each["environment"] for each in found), key=str)
        assert 1 == len(json.loads(run("list", "--environment", "risk", "-o", "json").stdout))

    def test_they_are_redriven_where_their_environment_is(self, run: Run, retained: Gateway) -> None:
        """What has no environment any more is left where it is, and named."""
        result = run("redrive", "--all")
        assert (1, True) == (result.exit_code, "no longer has environment 'risk'" in result.stderr)
        assert (1, 1) == (retained.visible("trigger-analytics"), retained.visible("ingress-retry"))
        left = ("trigger-dlq-analytics-2", "trigger-dlq-risk", "ingress-dlq-2", "ingress-dlq-of-others")
        assert [0, 1, 0, 1] == [retained.visible(name) for name in left]


@pytest.mark.guarantee(44)
def test_a_send_without_a_message_id_deletes_no_dead_letter(
    run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Botocore reads a body that is not JSON, such as a proxy's page, as an empty answer: nothing was sent."""
    gateway.publish()
    answer = {"SendMessage": True}
    ask = BaseClient._make_api_call
    monkeypatch.setattr(
        BaseClient,
        "_make_api_call",
        lambda self, operation, params: {} if operation in answer else ask(self, operation, params),
    )
    result = run("redrive", "--all")
    assert (1, True) == (result.exit_code, "the answer has no MessageId" in result.stderr)
    assert 1 == gateway.visible("ingress-dlq")
    answer.clear()
    assert 0 == run("redrive", "--all").exit_code
    assert (0, 1) == (gateway.visible("ingress-dlq"), gateway.visible("ingress-retry"))
