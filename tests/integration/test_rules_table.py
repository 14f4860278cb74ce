"""Both sides of the rules table against DynamoDB (moto's): what is written is read, nothing is guessed."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.rules_table import RULES_TABLE, create_rules_table, rules_table_items
from gateway_cli.rules.items import StoredRuleItem
from gateway_cli.rules.store import Applied, RuleChanged, RuleMissing, RulesStore, TableBusy
from mwaa_gateway.aws.dynamodb.rules_table import RulesTable
from mwaa_gateway.errors import InvalidRule, Unavailable
from mwaa_gateway.routing.live_rules import UNREADABLE_HEAD, LiveRules, StoredRule
from mwaa_gateway.rules import Rule, parse_rule

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ORDERS = "finance.orders"


@pytest.fixture
def client(dynamodb: Any) -> Any:
    return dynamodb


@pytest.fixture
def table(client) -> RulesTable:
    return RulesTable(client, RULES_TABLE, pause=lambda _seconds: None)


@pytest.fixture
def store(client) -> RulesStore:
    return RulesStore(client, RULES_TABLE, pause=lambda _seconds: None)


def a_rule(*buckets: str, rule_id: str = ORDERS, dag_id: str = "ingest", state: str = "ENABLED") -> Rule:
    return parse_rule(
        {
            "id": rule_id,
            "state": state,
            "pattern": {"source": ["aws.s3"], "detail": {"bucket": {"name": list(buckets or ("landing",))}}},
            "target": {"environment": "analytics", "dag_id": dag_id},
        },
        environments=None,
    )


def a_rule_on(detail: dict[str, Any]) -> Rule:
    return parse_rule(
        {
            "id": ORDERS,
            "pattern": {"source": ["acme"], "detail": detail},
            "target": {"environment": "analytics", "dag_id": "ingest"},
        },
        environments=None,
    )


def put(store: RulesStore, rule: Rule, **options: Any) -> Applied:
    return store.put(rule, by="alice", now=NOW, **options)


def counted(client: Any, operation: str) -> list[dict[str, Any]]:
    """Collect the parameters of every call of one operation from here on."""
    calls: list[dict[str, Any]] = []
    client.meta.events.register(
        f"provide-client-params.dynamodb.{operation}", lambda params, **_: calls.append(params)
    )
    return calls


def answering(client: Any, operation: str, answer: Callable[[], tuple[int, dict[str, Any]] | None]) -> None:
    """Let AWS answer with a status and a body of our choice, or with itself where `answer` returns None."""

    def before_call(**_: Any) -> tuple[SimpleNamespace, dict[str, Any]] | None:
        chosen = answer()
        return None if chosen is None else (SimpleNamespace(status_code=chosen[0]), chosen[1])

    client.meta.events.register(f"before-call.dynamodb.{operation}", before_call)


def refusal(code: str, **more: Any) -> tuple[int, dict[str, Any]]:
    return 400, {
        "Error": {"Code": code, "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
        **more,
    }


def cancelled(*reasons: str) -> tuple[int, dict[str, Any]]:
    return refusal(
        "TransactionCanceledException", CancellationReasons=[{"Code": reason} for reason in reasons]
    )


class TestReading:
    """What the functions see, and that a failure is never seen as no rules."""

    def test_a_partition_without_a_head_is_at_generation_0(self, table: RulesTable) -> None:
        """Nobody ever wrote a rule there."""
        assert table.heads(["aws.s3#a", "*"]) == {"aws.s3#a": 0, "*": 0}

    def test_heads_are_one_call_however_many_partitions(self, client, table: RulesTable) -> None:
        """An event costs one BatchGetItem per refresh; a partition asked for twice is read once."""
        calls = counted(client, "BatchGetItem")
        table.heads(["aws.s3#a", "aws.s3#*", "*", "*"])
        assert [len(call["RequestItems"][RULES_TABLE]["Keys"]) for call in calls] == [3]

    def test_more_heads_than_one_call_may_ask_for(self, client, store: RulesStore, table: RulesTable) -> None:
        """Over 100 partitions are asked for in hundreds."""
        put(store, a_rule("bucket-149"))
        calls = counted(client, "BatchGetItem")
        heads = table.heads([f"aws.s3#bucket-{number}" for number in range(150)])
        assert (len(calls), heads["aws.s3#bucket-149"], sum(heads.values())) == (2, 1, 1)

    def test_no_partition_is_no_call(self, client, table: RulesTable) -> None:
        """DynamoDB refuses an empty BatchGetItem."""
        calls = counted(client, "BatchGetItem")
        assert (table.heads([]), calls) == ({}, [])

    def test_copies_over_several_pages(self, client, store: RulesStore, table: RulesTable) -> None:
        """A page is 1 MB: 20 rules of 100 KB are three pages, and none is lost."""
        for number in range(20):
            rule = parse_rule(
                {
                    "id": f"rule-{number:02}",
                    "description": "x" * 100_000,
                    "pattern": {"source": ["aws.s3"], "detail": {"bucket": {"name": ["landing"]}}},
                    "target": {"environment": "analytics", "dag_id": "ingest"},
                },
                environments=None,
            )
            put(store, rule)
        calls = counted(client, "Query")
        copies = table.copies("aws.s3#landing")
        assert [f"rule-{number:02}" for number in range(20)] == [copy.id for copy in copies]
        assert len(calls) > 1
        assert all(call["ConsistentRead"] for call in calls)

    def test_a_partition_holds_its_rules_and_not_its_head(self, store: RulesStore, table: RulesTable) -> None:
        """What comes back is what was written, as text."""
        rule = a_rule()
        put(store, rule)
        [copy] = table.copies("aws.s3#landing")
        assert (ORDERS, 1, rule.document()) == (copy.id, copy.version, json.loads(copy.document))

    def test_a_copy_broken_by_hand_does_not_hide_the_others(
        self, client, store: RulesStore, table: RulesTable
    ) -> None:
        """Without version and document it comes back as one that no parser accepts."""
        put(store, a_rule())
        key = {"partition": {"S": "aws.s3#landing"}, "sort": {"S": "rule#broken"}}
        client.put_item(TableName=RULES_TABLE, Item={**key, "version": {"S": "three"}})
        broken, good = table.copies("aws.s3#landing")
        assert (StoredRule("broken", 0, ""), ORDERS) == (broken, good.id)

    @pytest.mark.parametrize("attributes", [{}, {"generation": {"S": "3"}}])
    def test_a_head_broken_by_hand_stops_nobody(
        self, client, table: RulesTable, attributes: dict[str, Any]
    ) -> None:
        """It never reads as generation 0: that would say that no rule lies there. Other heads are read all the same."""
        item = {"partition": {"S": "*"}, "sort": {"S": "head"}} | attributes
        client.put_item(TableName=RULES_TABLE, Item=item)
        assert {"*": UNREADABLE_HEAD, "aws.s3#a": 0} == table.heads(["*", "aws.s3#a"])

    def test_keys_left_unprocessed_are_asked_for_again(
        self, client, store: RulesStore, table: RulesTable
    ) -> None:
        """DynamoDB may answer a part of a batch; the rest follows."""
        put(store, a_rule())
        wanted = {RULES_TABLE: {"Keys": [{"partition": {"S": "aws.s3#landing"}, "sort": {"S": "head"}}]}}
        answers = iter([(200, {"Responses": {}, "UnprocessedKeys": wanted}), None])
        answering(client, "BatchGetItem", lambda: next(answers))
        assert table.heads(["aws.s3#landing"]) == {"aws.s3#landing": 1}

    def test_keys_that_stay_unprocessed_are_unavailable(self, client) -> None:
        """After four times asking; the waits in between are short, as a function is waiting."""
        waits: list[float] = []
        wanted = {RULES_TABLE: {"Keys": [{"partition": {"S": "*"}, "sort": {"S": "head"}}]}}
        answering(client, "BatchGetItem", lambda: (200, {"Responses": {}, "UnprocessedKeys": wanted}))
        with pytest.raises(Unavailable):
            RulesTable(client, RULES_TABLE, pause=waits.append).heads(["*"])
        assert (len(waits), sum(waits) < 1) == (3, True)

    @pytest.mark.parametrize("operation", ["BatchGetItem", "Query"])
    @pytest.mark.parametrize(
        "code", ["ProvisionedThroughputExceededException", "InternalServerError", "AccessDeniedException"]
    )
    def test_a_refused_read_never_reads_as_no_rules(
        self, client, table: RulesTable, operation: str, code: str
    ) -> None:
        """Throttled, out of order or not allowed: it raises, and the event is tried again later."""
        answering(client, operation, lambda: refusal(code))
        with pytest.raises(Unavailable, match=code):
            table.heads(["*"]) if operation == "BatchGetItem" else table.copies("*")

    @pytest.mark.parametrize("operation", ["BatchGetItem", "Query"])
    def test_a_read_without_answer_never_reads_as_no_rules(
        self, client, table: RulesTable, operation: str
    ) -> None:
        """A connection that fails raises as well."""

        def no_answer() -> None:
            raise ConnectTimeoutError(endpoint_url="https://dynamodb")

        answering(client, operation, no_answer)
        with pytest.raises(Unavailable, match="ConnectTimeoutError"):
            table.heads(["*"]) if operation == "BatchGetItem" else table.copies("*")

    def test_a_missing_table_never_reads_as_no_rules(self, client) -> None:
        """A wrong RULES_TABLE is an error of the deployment."""
        with pytest.raises(Unavailable, match="ResourceNotFoundException"):
            RulesTable(client, "elsewhere").heads(["*"])


class TestWriting:
    """One change of a rule is one transaction over the rule, its copies and the heads."""

    def test_a_new_rule(self, client, store: RulesStore) -> None:
        """The rule itself, its entry in the history, a copy in each partition, and a head for each: nothing else."""
        rule = a_rule("a-bucket", "b-bucket")
        assert Applied(ORDERS, "created", 1, "ENABLED") == put(store, rule)
        items = rules_table_items(client)
        stored, kept = items.pop(("rules", ORDERS)), items.pop((f"history/{ORDERS}", "0000000001"))
        assert {**stored, "partition": f"history/{ORDERS}", "sort": "0000000001"} == kept
        assert rule.document() == json.loads(stored.pop("document"))
        assert stored == {
            "partition": "rules",
            "sort": ORDERS,
            "id": ORDERS,
            "version": 1,
            "state": "ENABLED",
            "partitions": ["aws.s3#a-bucket", "aws.s3#b-bucket"],
            "updated_at": "2026-11-22T12:00:00+00:00",
            "updated_by": "alice",
            "change": "created",
            "generations": '{"aws.s3#a-bucket": 1, "aws.s3#b-bucket": 1}',
        }
        assert {
            ("aws.s3#a-bucket", f"rule#{ORDERS}"): (ORDERS, 1, "ENABLED", rule.document()),
            ("aws.s3#b-bucket", f"rule#{ORDERS}"): (ORDERS, 1, "ENABLED", rule.document()),
            ("aws.s3#a-bucket", "head"): 1,
            ("aws.s3#b-bucket", "head"): 1,
        } == {
            key: item["generation"]
            if key[1] == "head"
            else (item["id"], item["version"], item["state"], json.loads(item["document"]))
            for key, item in items.items()
        }

    def test_the_same_rule_again_writes_nothing(self, client, store: RulesStore) -> None:
        """Neither version nor heads move, so no sandbox reads its rules again."""
        put(store, a_rule())
        before = rules_table_items(client)
        applied = store.put(a_rule(), by="bob", now=LATER)
        assert (Applied(ORDERS, "unchanged", 1, "ENABLED"), before) == (applied, rules_table_items(client))

    def test_a_change_from_1_to_true_is_a_change(self, store: RulesStore) -> None:
        """They are equal in Python and different in a pattern; the order of keys means nothing."""
        for expected, detail in enumerate(({"a": [1], "b": [2]}, {"a": [True], "b": [2]}), start=1):
            assert put(store, a_rule_on(detail)).version == expected
        assert put(store, a_rule_on({"b": [2], "a": [True]})).outcome == "unchanged"

    def test_a_rule_that_moves(self, store: RulesStore, table: RulesTable) -> None:
        """Its old partition loses the copy; the heads of the old and the new one rise, others do not."""
        put(store, a_rule("old", "both"))
        put(store, a_rule("else", rule_id="other"))
        assert Applied(ORDERS, "updated", 2, "ENABLED") == put(store, a_rule("both", "new"))
        assert {
            bucket: [copy.version for copy in table.copies(f"aws.s3#{bucket}")]
            for bucket in ("old", "both", "new")
        } == {"old": [], "both": [2], "new": [2]}
        assert table.heads(["aws.s3#old", "aws.s3#both", "aws.s3#new", "aws.s3#else"]) == {
            "aws.s3#old": 2,
            "aws.s3#both": 2,
            "aws.s3#new": 1,
            "aws.s3#else": 1,
        }

    def test_from_24_partitions_to_24_others_is_one_transaction(self, client, store: RulesStore) -> None:
        """The widest change there is: 99 of the 100 actions of a transaction."""
        put(store, a_rule(*(f"bucket-{number}" for number in range(24))))
        calls = counted(client, "TransactWriteItems")
        put(store, a_rule(*(f"bucket-{number}" for number in range(24, 48))))
        assert [len(call["TransactItems"]) for call in calls] == [99]

    def test_a_disabled_rule_has_no_copies(self, store: RulesStore, table: RulesTable) -> None:
        """Disabling takes them out and raises the heads; enabling brings them back."""
        put(store, a_rule())
        disabled = store.set_state(ORDERS, "DISABLED", by="bob", now=LATER)
        assert (Applied(ORDERS, "updated", 2, "DISABLED"), []) == (disabled, table.copies("aws.s3#landing"))
        enabled = store.set_state(ORDERS, "ENABLED", by="bob", now=LATER)
        [copy] = table.copies("aws.s3#landing")
        assert (
            copy.version,
            json.loads(copy.document)["state"],
            table.heads(["aws.s3#landing"]),
        ) == (3, "ENABLED", {"aws.s3#landing": 3})
        assert Applied(ORDERS, "updated", 3, "ENABLED") == enabled

    def test_a_state_it_has_already_writes_nothing(self, client, store: RulesStore) -> None:
        """Disabling twice is one change."""
        put(store, a_rule())
        before = rules_table_items(client)
        applied = store.set_state(ORDERS, "ENABLED", by="bob", now=LATER)
        assert (Applied(ORDERS, "unchanged", 1, "ENABLED"), before) == (applied, rules_table_items(client))

    def test_editing_a_disabled_rule_moves_no_head(self, store: RulesStore, table: RulesTable) -> None:
        """No event sees it, so no sandbox needs to read anything again."""
        put(store, a_rule(state="DISABLED"))
        applied = put(store, a_rule("elsewhere", state="DISABLED"))
        heads = table.heads(["aws.s3#landing", "aws.s3#elsewhere"])
        assert (applied.outcome, applied.version, sum(heads.values())) == ("updated", 2, 0)

    @pytest.mark.parametrize(("keep_state", "expected"), [(True, "DISABLED"), (False, "ENABLED")])
    def test_keep_state_keeps_a_rule_disabled(
        self, store: RulesStore, *, keep_state: bool, expected: str
    ) -> None:
        """A changed document whose author left the state open does not release it."""
        put(store, a_rule())
        store.set_state(ORDERS, "DISABLED", by="bob", now=NOW)
        assert expected == put(store, a_rule(dag_id="other"), keep_state=keep_state).state

    def test_versions_go_on_after_a_delete(self, client, store: RulesStore, table: RulesTable) -> None:
        """A deleted rule is in no list and no partition, and comes back as the next version."""
        put(store, a_rule())
        assert Applied(ORDERS, "deleted", 2, "DELETED") == store.delete(ORDERS, by="bob", now=LATER)
        assert (store.list(), table.copies("aws.s3#landing")) == ([], [])
        left = rules_table_items(client)["rules", ORDERS]
        assert (left["updated_by"], left["document"], left["partitions"]) == ("bob", "", [])
        assert Applied(ORDERS, "created", 3, "ENABLED") == put(store, a_rule())

    def test_every_version_is_kept(self, store: RulesStore) -> None:
        """With what it was, who made it, from which commit; the newest first, and more than nine of them."""
        put(store, a_rule(), commit="1a2b3c")
        store.set_state(ORDERS, "DISABLED", by="bob", now=LATER)
        for number in range(9):
            put(store, a_rule(dag_id=f"dag-{number}"), keep_state=True)
        store.delete(ORDERS, by="carol", now=LATER, commit="4d5e6f")
        versions = store.versions(ORDERS)
        assert [version.version for version in versions] == [*range(12, 0, -1)]
        assert [
            (version.change, version.updated_by, version.commit) for version in (*versions[-2:], versions[0])
        ] == [
            ("disabled", "bob", ""),
            ("created", "alice", "1a2b3c"),
            ("deleted", "carol", "4d5e6f"),
        ]
        assert json.loads(store.version(ORDERS, 1).document) == a_rule().document()
        with pytest.raises(RuleMissing, match=f"no version 13.*rules history {ORDERS}"):
            store.version(ORDERS, 13)
        with pytest.raises(RuleMissing, match=r"no rule 'finance\.nothing'"):
            store.versions("finance.nothing")

    def test_a_rule_that_is_not_the_one_that_was_read_is_left_alone(self, store: RulesStore) -> None:
        """What was decided on version 1 is not done to version 2, whatever was decided."""
        never_there = StoredRuleItem.deleted(ORDERS)
        put(store, a_rule())
        first = store.get(ORDERS)
        store.set_state(ORDERS, "DISABLED", by="bob", now=LATER)
        for change in (
            lambda: put(store, a_rule(dag_id="other"), read=first),
            lambda: put(store, a_rule(), read=never_there),
            lambda: store.delete(ORDERS, by="alice", now=NOW, read=first),
        ):
            with pytest.raises(RuleChanged, match=r"bob changed rule .* it is now version 2"):
                change()
        assert store.get(ORDERS).version == 2

    @pytest.mark.parametrize("ever_existed", [True, False])
    def test_a_missing_rule_is_refused(self, store: RulesStore, *, ever_existed: bool) -> None:
        """Deleted or never there: it is the same to who asks for it."""
        if ever_existed:
            put(store, a_rule())
            store.delete(ORDERS, by="bob", now=NOW)
        for change in (
            lambda: store.get(ORDERS),
            lambda: store.delete(ORDERS, by="bob", now=NOW),
            lambda: store.set_state(ORDERS, "DISABLED", by="bob", now=NOW),
        ):
            with pytest.raises(RuleMissing, match="rules list"):
                change()

    def test_an_unreadable_rule_can_be_disabled(self, client, store: RulesStore, table: RulesTable) -> None:
        """A rule whose document somebody broke by hand can still be disabled, and repaired by applying its file."""
        put(store, a_rule())
        client.update_item(
            TableName=RULES_TABLE,
            Key={"partition": {"S": "rules"}, "sort": {"S": ORDERS}},
            UpdateExpression="SET #document = :broken",
            ExpressionAttributeNames={"#document": "document"},
            ExpressionAttributeValues={":broken": {"S": "{"}},
        )
        assert store.set_state(ORDERS, "DISABLED", by="bob", now=NOW).state == "DISABLED"
        assert table.copies("aws.s3#landing") == []
        assert Applied(ORDERS, "updated", 3, "ENABLED") == put(store, a_rule())

    def test_rules_are_listed_in_the_order_of_their_ids(self, store: RulesStore) -> None:
        """Whatever the order they were written in."""
        for rule_id in ("b", "c", "a"):
            put(store, a_rule(rule_id=rule_id))
        assert [item.id for item in store.list()] == ["a", "b", "c"]

    def test_a_rule_that_does_not_fit_is_refused(self, store: RulesStore) -> None:
        """Before DynamoDB would, and with what to do."""
        rule = parse_rule(
            {
                "id": ORDERS,
                "description": "x" * 200_000,
                "pattern": {"source": ["acme"]},
                "target": {"environment": "analytics", "dag_id": "ingest"},
            },
            environments=None,
        )
        with pytest.raises(InvalidRule, match="split the rule"):
            put(store, rule)


class TestSideBySide:
    """Several people and pipelines write to one table."""

    def test_a_change_by_somebody_else_is_never_overwritten(self, client, store: RulesStore) -> None:
        """Bob writes between Alice's read and her write: hers is refused whole, his stands."""
        put(store, a_rule())
        theirs = RulesStore(boto3.client("dynamodb"), RULES_TABLE)
        once = iter([lambda: theirs.put(a_rule("bobs"), by="bob", now=NOW)])
        answering(client, "TransactWriteItems", lambda: next(once, lambda: None)() and None)
        with pytest.raises(
            RuleChanged, match=rf"bob changed rule .*{ORDERS}.* it is now version 2.*run the command again"
        ):
            put(store, a_rule("alices"))
        assert (
            store.get(ORDERS).version,
            store.get(ORDERS).partitions,
            store.get(ORDERS).updated_by,
        ) == (2, ("aws.s3#bobs",), "bob")
        assert ("aws.s3#alices", "head") not in rules_table_items(client)

    def test_a_rule_created_by_two_is_created_once(self, client, store: RulesStore) -> None:
        """Neither has read a version; the second gets an error."""
        theirs = RulesStore(boto3.client("dynamodb"), RULES_TABLE)
        once = iter([lambda: theirs.put(a_rule("bobs"), by="bob", now=NOW)])
        answering(client, "TransactWriteItems", lambda: next(once, lambda: None)() and None)
        with pytest.raises(RuleChanged):
            put(store, a_rule("alices"))
        assert (store.get(ORDERS).version, store.get(ORDERS).updated_by) == (1, "bob")

    @pytest.mark.parametrize(
        "reason", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"]
    )
    def test_a_transaction_that_met_another_one_is_sent_again(
        self, client, store: RulesStore, reason: str
    ) -> None:
        """Two people who write two rules of one partition raise the same head; both changes are made."""
        answers = iter([cancelled("None", reason), cancelled(reason)])
        answering(client, "TransactWriteItems", lambda: next(answers, None))
        assert Applied(ORDERS, "created", 1, "ENABLED") == put(store, a_rule())

    def test_each_version_records_the_generations_that_it_made(self, client, store: RulesStore) -> None:
        """Another rule's change between the look at the heads and the write: the heads are read again."""
        theirs = RulesStore(boto3.client("dynamodb"), RULES_TABLE)
        other = replace(a_rule(), id="finance.else")
        once = iter([lambda: put(theirs, other)])
        answering(client, "TransactWriteItems", lambda: next(once, lambda: None)() and None)
        put(store, a_rule())
        put(store, a_rule("b-bucket"))
        store.set_state(ORDERS, "DISABLED", by="alice", now=NOW)
        store.set_state(ORDERS, "SHADOW", by="alice", now=NOW)
        made = [version.generations for version in store.versions(ORDERS)]
        a, b = "aws.s3#landing", "aws.s3#b-bucket"
        assert made == [{b: 3}, {b: 2}, {a: 3, b: 1}, {a: 2}]
        assert theirs.get("finance.else").generations == {a: 1}

    def test_a_table_that_stays_busy_is_reported(self, client) -> None:
        """After four tries over a second or so."""
        waits: list[float] = []
        answering(client, "TransactWriteItems", lambda: cancelled("TransactionConflict"))
        with pytest.raises(TableBusy, match="run the command again"):
            put(RulesStore(client, RULES_TABLE, pause=waits.append), a_rule())
        assert len(waits) == 3

    @pytest.mark.parametrize("answer", [cancelled("ValidationError"), refusal("AccessDeniedException")])
    def test_another_refusal_is_not_hidden(self, client, store: RulesStore, answer: Any) -> None:
        """An error that no retry repairs comes out unchanged."""
        answering(client, "TransactWriteItems", lambda: answer)
        with pytest.raises(ClientError):
            put(store, a_rule())


class TestBothSides:
    """What the command writes is what the functions match."""

    def test_a_change_is_live_at_the_next_refresh(self, client, store: RulesStore, table: RulesTable) -> None:
        """Created, moved, stopped: the functions match what was written, and Query only after a change."""
        live = LiveRules(table, environments={"analytics"}, refresh_seconds=5)
        event = {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": "landing"}},
        }
        clock = itertools.count(0, 10)

        def matched() -> list[tuple[str, int]]:
            live.refresh(event, float(next(clock)))
            return [(rule.id, rule.version) for rule in live.match(event).rules]

        queries = counted(client, "Query")
        assert (matched(), len(queries)) == ([], 0)
        put(store, a_rule())
        assert (matched(), len(queries)) == ([(ORDERS, 1)], 1)
        assert (matched(), len(queries)) == ([(ORDERS, 1)], 1)
        put(store, a_rule("elsewhere"))
        assert matched() == []
        put(store, a_rule())
        assert matched() == [(ORDERS, 3)]
        store.set_state(ORDERS, "DISABLED", by="bob", now=NOW)
        assert matched() == []

    @settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.one_of(
                st.tuples(
                    st.just("put"),
                    st.sampled_from("ab"),
                    st.sets(st.sampled_from(["one", "two", "three"]), min_size=1),
                    st.sampled_from(["ENABLED", "DISABLED"]),
                ),
                st.tuples(st.sampled_from(["ENABLED", "DISABLED", "delete"]), st.sampled_from("ab")),
            ),
            max_size=12,
        )
    )
    def test_after_any_change_copies_follow_the_rules_and_heads_announce_it(
        self, client, changes: list[Any]
    ) -> None:
        """Copies lie where the enabled rules say, and a head rises if and only if its partition changed."""
        name = f"rules-{len(client.list_tables()['TableNames'])}"
        create_rules_table(client, name)
        store, table = RulesStore(client, name), RulesTable(client, name)
        partitions = [f"aws.s3#{bucket}" for bucket in ("one", "two", "three")]
        versions = {"a": 0, "b": 0}

        def copies() -> dict[str, list[StoredRule]]:
            return {partition: table.copies(partition) for partition in partitions}

        for change in changes:
            copies_before, heads_before = copies(), table.heads(partitions)
            try:
                match change:
                    case ("put", rule_id, buckets, state):
                        applied = put(store, a_rule(*sorted(buckets), rule_id=rule_id, state=state))
                    case ("delete", rule_id):
                        applied = store.delete(rule_id, by="bob", now=NOW)
                    case (state, rule_id):
                        applied = store.set_state(rule_id, state, by="bob", now=NOW)
            except RuleMissing:
                applied = None
            copies_now, heads_now = copies(), table.heads(partitions)
            if applied is not None:
                versions[applied.rule_id] += applied.outcome != "unchanged"
                assert versions[applied.rule_id] == applied.version
            rose = {partition: heads_now[partition] - heads_before[partition] for partition in partitions}
            assert {
                partition: int(copies_now[partition] != copies_before[partition]) for partition in partitions
            } == rose
            assert {
                partition: [
                    item.id
                    for item in store.list()
                    if item.state == "ENABLED" and partition in item.partitions
                ]
                for partition in partitions
            } == {partition: [copy.id for copy in copies_now[partition]] for partition in partitions}


def test_allow_lists_are_read_by_name(client, table: RulesTable) -> None:
    """With a head of their own in the same BatchGet; what somebody broke by hand is read as nothing, and hides no other."""
    assert {} == table.namespaces()
    for sort, more in (
        ("namespace#finance", {"document": {"S": "{}"}}),
        ("namespace#hr", {}),
        ("head", {"generation": {"N": "2"}}),
    ):
        client.put_item(
            TableName=RULES_TABLE, Item={"partition": {"S": "namespaces"}, "sort": {"S": sort}, **more}
        )
    assert {"finance": "{}", "hr": ""} == table.namespaces()
    assert {"*": 0, "namespaces": 2} == table.heads(["*", "namespaces"])
