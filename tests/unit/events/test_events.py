"""Every source becomes an EventBridge envelope with the right identity; a test reads each sample of events/."""

import copy
import json
import zlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mwaa_gateway.errors import MalformedEvent
from mwaa_gateway.events import (
    Event,
    TrustedQueues,
    from_eventbridge,
    from_queue,
    from_s3_notification,
    from_sns_notification,
)
from mwaa_gateway.json_values import json_or_text

SAMPLES = Path(__file__).parents[3] / "events"
ACCOUNT = "123456789012"
UNWRAPPED = frozenset({f"arn:aws:sns:eu-west-1:{ACCOUNT}:s3-notifications"})
RETRY_QUEUE, OWN_QUEUE, OTHER_QUEUE = (
    f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{name}"
    for name in ("mwaa-gateway-ingress-retry", "s3-uploads", "suggestions")
)
BELIEVED = TrustedQueues(RETRY_QUEUE, frozenset({OWN_QUEUE}), UNWRAPPED)


def from_queues(payload: Any) -> list[Event | MalformedEvent]:
    """Everything in a batch as Lambda gets it."""
    return [
        event
        for record in payload["Records"]
        for event in from_queue(record["body"], record["eventSourceARN"], BELIEVED).events
    ]


SOURCES: dict[str, Callable[[Any], list[Event | MalformedEvent]]] = {
    "s3": lambda payload: from_s3_notification(payload, account=ACCOUNT),
    "sns": lambda payload: from_sns_notification(payload, UNWRAPPED),
    "eventbridge": from_eventbridge,
    "queued": from_queues,
}
UPLOAD = "s3|acme-landing|orders/eu west/a+b (100%25) ü東😀.csv|Object Created|617F08299329D189"
TOPIC = f"sns|arn:aws:sns:eu-west-1:{ACCOUNT}:exports"

NOT_TRUSTED = (
    f"{OTHER_QUEUE} is not in EventQueueArns, so the gateway does not trust its messages: a sender could pose as any "
    "bucket. To use the queue, add it to that parameter of the stack, deploy, then redrive this message"
)
NO_EVENT = (
    f"a message of {OWN_QUEUE}: it is no S3 notification, SNS message or EventBridge event; if a topic sends it, "
    "switch off raw message delivery in the subscription: it omits the topic and the message id"
)

# Each sample: the identities of its events, or why it is malformed.
EXPECTED = {
    "s3_put": [UPLOAD],
    "s3_copy": ["s3|acme-landing|orders/copy.csv|Object Created|65E9A1B2C3D4E5F6"],
    "s3_multipart_upload": ["s3|acme-landing|orders/large.csv|Object Created|65E9A1B2C3D4E6"],
    "s3_delete": ["s3|acme-landing|orders/old.csv|Object Deleted|65E9A1B2C3D4E611"],
    "s3_tags_added": ["s3|acme-landing|orders/tagged.csv|Object Tags Added|D10BB20BEA3F2C4A"],
    "s3_restore_completed": ["s3|acme-landing|archive/2019.csv|Object Restore Completed|7AJ3S1S1D1A1B2C3"],
    "s3_hostile_key": [
        "s3|acme-landing|orders/--help \"';$(id)\n\0%7C<bucket>\\.csv|Object Created|65E9A1B2C3D4E722"
    ],
    "s3_test_event": [],
    "s3_poison_among_good": [
        "s3|acme-landing|orders/first.csv|Object Created|65E9A1B2C3D4E801",
        "Records[1]: s3.object.key 'orders/%FF.csv' does not decode to UTF-8; expected a URL-encoded S3 key",
        "s3|acme-landing|orders/third.csv|Object Created|65E9A1B2C3D4E803",
    ],
    "s3_unknown_version": [
        "Records[0]: eventVersion is '3.0'; this release reads 2.x: check for a newer gateway"
    ],
    "eventbridge_s3_put": [UPLOAD],
    "eventbridge_custom": ["eventbridge|6a7e8feb-b491-4cf7-a9f1-bf3703467718"],
    "eventbridge_replay": ["eventbridge|6a7e8feb-b491-4cf7-a9f1-bf3703467718"],
    "eventbridge_cloudtrail_s3": ["eventbridge|b4ffa33d-7d4b-1c42-9e69-7a0d16a5e4e2"],
    "eventbridge_malformed": ["detail of the event is text; expected a JSON object"],
    "sns_json": [f"{TOPIC}|95df01b4-ee98-5cb9-9903-4c221d41eb5e"],
    "sns_text": [f"{TOPIC}|3b3a1f80-3c1c-5d3a-8f0e-41d4a716446a"],
    "sns_s3_put": [UPLOAD],
    "sns_s3_test_event": [],
    "sns_eventbridge": ["eventbridge|6a7e8feb-b491-4cf7-a9f1-bf3703467718"],
    "sns_forged_s3_put": [f"{TOPIC}|77d9b1f5-1d4c-5b8e-a3a8-e1b8a6a93333"],
    "sns_malformed": ["Records[0]: MessageId of Sns is missing; expected text"],
    "queued_given_up_s3_put": [UPLOAD],
    "queued_given_up_sns": [f"{TOPIC}|95df01b4-ee98-5cb9-9903-4c221d41eb5e"],
    "queued_given_up_eventbridge": ["eventbridge|6a7e8feb-b491-4cf7-a9f1-bf3703467718"],
    "queued_s3_put": [UPLOAD],
    "queued_s3_test_event": [],
    "queued_sns": [f"{TOPIC}|95df01b4-ee98-5cb9-9903-4c221d41eb5e"],
    "queued_sns_s3_put": [UPLOAD],
    "queued_sns_forged_s3_put": [f"{TOPIC}|77d9b1f5-1d4c-5b8e-a3a8-e1b8a6a93333"],
    "queued_sns_raw": [NO_EVENT],
    "queued_eventbridge": ["eventbridge|6a7e8feb-b491-4cf7-a9f1-bf3703467718"],
    "queued_forged_s3_put": [NOT_TRUSTED],
    "queued_malformed": [f"a message of {OWN_QUEUE}: the message is text; expected a JSON object"],
    "queued_redriven": [f"{TOPIC}|95df01b4-ee98-5cb9-9903-4c221d41eb5e"],
    "queued_redriven_forged_s3_put": [NOT_TRUSTED],
}
WITH_EVENTS = [
    name
    for name, results in EXPECTED.items()
    if any(result.startswith(("s3|", "sns|", "eventbridge|")) for result in results)
]


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def parsed(name: str) -> list[Event | MalformedEvent]:
    return SOURCES[name.partition("_")[0]](sample(name))


def envelope(name: str) -> Any:
    (event,) = parsed(name)
    assert isinstance(event, Event)
    return event.envelope


def refused(name: str, repaired: Callable[[Any], None]) -> str:
    """Spoil a sample; return why it is malformed."""
    payload = sample(name)
    repaired(payload)
    (malformed,) = SOURCES[name.partition("_")[0]](payload)
    assert isinstance(malformed, MalformedEvent)
    return str(malformed)


class TestSamples:
    """The files in events/."""

    def test_every_sample_is_expected(self):
        """Every sample has a test, and none is missing."""
        assert set(EXPECTED) == {file.stem for file in SAMPLES.glob("*.json")}

    @pytest.mark.parametrize("name", EXPECTED)
    def test_becomes(self, name: str):
        """Each sample gives the events, or the reasons, that it stands for."""
        results = [result.identity if isinstance(result, Event) else str(result) for result in parsed(name)]
        assert results == EXPECTED[name]

    @pytest.mark.parametrize("name", WITH_EVENTS)
    def test_envelope_is_eventbridges(self, name: str):
        """Whatever arrives, rules and transformers find EventBridge's fields; and it is JSON."""
        events = [event for event in parsed(name) if isinstance(event, Event)]
        assert events
        for event in events:
            required = {
                "version",
                "id",
                "detail-type",
                "source",
                "account",
                "time",
                "region",
                "resources",
                "detail",
            }
            assert required <= event.envelope.keys()
            assert event.id == event.envelope["id"]
            json.dumps(event.envelope, allow_nan=False)

    @pytest.mark.parametrize("name", EXPECTED)
    def test_again_is_the_same(self, name: str):
        """A redelivery has the same identities and ids."""
        first, again = (
            [(event.identity, event.id) for event in parsed(name) if isinstance(event, Event)]
            for _ in range(2)
        )
        assert first == again


class TestS3:
    """Notifications that come straight from a bucket."""

    def test_notification_has_eventbridges_shape(self):
        """Apart from what a notification does not know, an upload looks the same on both routes."""
        native, routed = envelope("s3_put"), envelope("eventbridge_s3_put")
        assert native["detail"] | {"requester": ACCOUNT} == routed["detail"]
        assert {**native, "id": routed["id"], "time": routed["time"], "detail": routed["detail"]} == routed

    @pytest.mark.parametrize(
        ("event_name", "detail_type", "reason", "deletion_type"),
        [
            ("ObjectCreated:Put", "Object Created", "PutObject", None),
            ("s3:ObjectCreated:Put", "Object Created", "PutObject", None),
            ("ObjectCreated:Post", "Object Created", "POST Object", None),
            ("ObjectCreated:Copy", "Object Created", "CopyObject", None),
            ("ObjectCreated:CompleteMultipartUpload", "Object Created", "CompleteMultipartUpload", None),
            ("ObjectCreated:FromTheFuture", "Object Created", None, None),
            ("ObjectRemoved:Delete", "Object Deleted", "DeleteObject", "Permanently Deleted"),
            ("ObjectRemoved:DeleteMarkerCreated", "Object Deleted", "DeleteObject", "Delete Marker Created"),
            ("LifecycleExpiration:Delete", "Object Deleted", "Lifecycle Expiration", "Permanently Deleted"),
            ("ObjectRestore:Post", "Object Restore Initiated", None, None),
            ("ObjectRestore:Delete", "Object Restore Expired", None, None),
            ("LifecycleTransition", "Object Storage Class Changed", None, None),
            ("IntelligentTiering", "Object Access Tier Changed", None, None),
            ("ObjectTagging:Delete", "Object Tags Deleted", None, None),
            ("ObjectAcl:Put", "Object ACL Updated", None, None),
            ("Replication:OperationFailedReplication", "Replication:OperationFailedReplication", None, None),
        ],
    )
    def test_event_names(
        self, event_name: str, detail_type: str, reason: str | None, deletion_type: str | None
    ):
        """EventBridge's detail-types; what EventBridge does not have keeps its own name."""
        payload = sample("s3_put")
        payload["Records"][0]["eventName"] = event_name
        (event,) = from_s3_notification(payload)
        assert isinstance(event, Event)
        detail = event.envelope["detail"]
        assert (detail_type, reason, deletion_type) == (
            event.envelope["detail-type"],
            detail.get("reason"),
            detail.get("deletion-type"),
        )

    def test_extra_data_is_carried(self):
        """What a restore says of itself stands where EventBridge puts it."""
        detail = envelope("s3_restore_completed")["detail"]
        assert detail["restore-expiry-time"] == "2026-11-25T00:00:00.000Z"
        assert detail["source-storage-class"] == "GLACIER"

    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
    def test_every_key_arrives_unchanged(self, key: str):
        """Encoded as S3 does it; and the two routes agree on the identity."""
        from urllib.parse import quote_plus  # noqa: PLC0415

        native, routed = sample("s3_put"), sample("eventbridge_s3_put")
        native["Records"][0]["s3"]["object"]["key"] = quote_plus(key)
        routed["detail"]["object"]["key"] = key
        (one,), (other,) = from_s3_notification(native), from_eventbridge(routed)
        assert isinstance(one, Event)
        assert isinstance(other, Event)
        assert one.envelope["detail"]["object"]["key"] == key
        assert one.identity == other.identity

    @pytest.mark.parametrize(
        ("sequencer", "same"),
        [
            ("00617F08299329D189", True),
            ("617f08299329d189", True),
            ("00617F08299329D18900", True),
            ("00617F08299329D18A", False),
            ("00617F08299329D1891", False),
            ("not hex", False),
            ("0", False),
        ],
    )
    def test_sequencers(self, sequencer: str, *, same: bool):
        """Two spellings that S3 orders alike are one event, all others are two."""
        payload = sample("s3_put")
        payload["Records"][0]["s3"]["object"]["sequencer"] = sequencer
        (event,) = from_s3_notification(payload)
        assert isinstance(event, Event)
        assert (event.identity == UPLOAD) is same

    def test_version_ids_are_no_part_of_the_identity(self):
        """In a suspended bucket each upload has the version `null`."""
        payload = sample("s3_put")
        payload["Records"][0]["s3"]["object"]["versionId"] = "null"
        (event,) = from_s3_notification(payload)
        assert isinstance(event, Event)
        assert event.identity == UPLOAD

    def test_tagging_the_same_object_twice_is_two_events(self):
        """They have no sequencer; the request tells them apart."""
        again = sample("s3_tags_added")
        again["Records"][0]["responseElements"]["x-amz-request-id"] = "ANOTHER"
        (first,), (second,) = parsed("s3_tags_added"), from_s3_notification(again)
        assert isinstance(first, Event)
        assert isinstance(second, Event)
        assert first.identity != second.identity

    def test_no_key_poses_as_another_event(self):
        """A key may contain the identity's own separators."""
        payload = sample("s3_put")
        described = payload["Records"][0]["s3"]["object"]
        identities = set()
        for key, sequencer in (("a|b", "1"), ("a%7Cb", "1"), ("a%257Cb", "1"), ("a|b|Object Created|1", "1")):
            described |= {"key": key, "sequencer": sequencer}
            identities |= {
                event.identity for event in from_s3_notification(payload) if isinstance(event, Event)
            }
        assert len(identities) == 3  # a|b and a%7Cb are the same key, encoded or not
        assert "s3|acme-landing|a%7Cb|Object Created|1" in identities

    def test_arn_follows_the_region(self):
        """A record without the bucket's ARN gets it in its own partition."""
        payload = sample("s3_put")
        del payload["Records"][0]["s3"]["bucket"]["arn"]
        arns = []
        for region in ("eu-west-1", "cn-north-1", "us-gov-west-1"):
            payload["Records"][0]["awsRegion"] = region
            arns += [event.envelope["resources"] for event in from_s3_notification(payload)]  # type: ignore[union-attr]
        assert arns == [
            ["arn:aws:s3:::acme-landing"],
            ["arn:aws-cn:s3:::acme-landing"],
            ["arn:aws-us-gov:s3:::acme-landing"],
        ]

    @pytest.mark.parametrize(
        ("path", "value", "reason"),
        [
            (["eventSource"], "aws:sns", "eventSource is 'aws:sns'; expected 'aws:s3'"),
            (["eventSource"], None, "eventSource of the record is missing"),
            (["s3"], [], "s3 of the record is a list"),
            (["s3", "bucket", "name"], 7, "name of s3.bucket is a number"),
            (["s3", "object", "key"], "", "the object key has 0 bytes; S3 allows 1 to 1024"),
            (["s3", "object", "key"], "k" * 1025, "the object key has 1025 bytes"),
            (["s3", "object", "key"], "\ud800", "key of s3.object contains half a surrogate pair"),
            (["eventTime"], True, "eventTime of the record is a boolean"),
        ],
    )
    def test_malformed(self, path: list[str], value: object, reason: str):
        """Each names the field, what it is and what it should be."""

        def spoil(payload: Any) -> None:
            place = payload["Records"][0]
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value

        assert reason in refused("s3_put", spoil)

    def test_without_sequencer_and_request_it_is_malformed(self):
        """The gateway could not distinguish a duplicate from a new event."""

        def spoil(payload: Any) -> None:
            del payload["Records"][0]["s3"]["object"]["sequencer"]
            del payload["Records"][0]["responseElements"]

        assert "neither s3.object.sequencer nor responseElements.x-amz-request-id" in refused("s3_put", spoil)

    @pytest.mark.parametrize("payload", [{}, {"Records": {}}, [], None, {"Records": [7]}])
    def test_no_notification_at_all(self, payload: Any):
        """Malformed, never an exception."""
        (malformed,) = from_s3_notification(payload)
        assert isinstance(malformed, MalformedEvent)


class TestSns:
    """Notifications of a topic, and what is inside them."""

    def test_envelope(self):
        """A notification with its topic's region and account; JSON is parsed, attributes by name."""
        assert envelope("sns_json") == {
            "version": "0",
            "id": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
            "detail-type": "Notification",
            "source": "aws.sns",
            "account": ACCOUNT,
            "time": "2026-11-22T10:15:30.456Z",
            "region": "eu-west-1",
            "resources": [f"arn:aws:sns:eu-west-1:{ACCOUNT}:exports"],
            "detail": {
                "topic-arn": f"arn:aws:sns:eu-west-1:{ACCOUNT}:exports",
                "message-id": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
                "subject": "nightly export",
                "message": {"export": "customers", "rows": 1200},
                "message-attributes": {"team": "crm", "rows": "1200"},
            },
        }

    def test_no_subject(self):
        """A notification without one has no such field."""
        assert "subject" not in envelope("sns_text")["detail"]

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            ('[1, {"a": null}]', [1, {"a": None}]),
            (' {"a": 1.5}\n', {"a": 1.5}),
            ("\r\n\t [1] ", [1]),
            ('{"a": 1} and more', '{"a": 1} and more'),
            ('{"a": 1}\n{"a": 2}', '{"a": 1}\n{"a": 2}'),
            ('\xa0{"a": 1}', '\xa0{"a": 1}'),
            ("42", "42"),
            ('"text"', '"text"'),
            ("null", "null"),
            ("{not json", "{not json"),
            ("[NaN]", "[NaN]"),
            ("[1e999]", "[1e999]"),
            ("[" * 100_000, "[" * 100_000),
            ("nul\0 and \x1b", "nul\0 and \x1b"),
        ],
    )
    def test_messages(self, message: str, expected: object):
        """Objects and lists are parsed; anything else is the text that was published, unchanged."""
        payload = sample("sns_text")
        payload["Records"][0]["Sns"]["Message"] = message
        (event,) = from_sns_notification(payload, frozenset())
        assert isinstance(event, Event)
        assert event.envelope["detail"]["message"] == expected

    def test_forged_upload_cannot_take_a_real_ones_identity(self):
        """On a topic that is not allow-listed an S3 notification is a message like any other."""
        (forged,) = parsed("sns_forged_s3_put")
        assert isinstance(forged, Event)
        assert forged.envelope["source"] == "aws.sns"
        assert forged.identity != UPLOAD

    def test_unwrapped_upload_is_the_upload(self):
        """Event and identity are those of the direct route."""
        assert parsed("sns_s3_put") == parsed("s3_put")

    @pytest.mark.parametrize(
        "message", ["plain", '{"Records": [{"eventSource": "aws:ses"}]}', "[1]", '{"source": "x"}']
    )
    def test_other_messages_of_an_allowed_topic_stay_notifications(self, message: str):
        """Only what is an S3 or EventBridge event is unwrapped."""
        payload = sample("sns_s3_put")
        payload["Records"][0]["Sns"]["Message"] = message
        (event,) = from_sns_notification(payload, UNWRAPPED)
        assert isinstance(event, Event)
        assert event.envelope["source"] == "aws.sns"

    def test_malformed_inner_event_is_malformed(self):
        """It is reported, not hidden inside a notification."""
        payload = sample("sns_s3_put")
        payload["Records"][0]["Sns"]["Message"] = json.dumps(sample("eventbridge_malformed"))
        (malformed,) = from_sns_notification(payload, UNWRAPPED)
        assert isinstance(malformed, MalformedEvent)

    @pytest.mark.parametrize(
        ("name", "value", "reason"),
        [
            ("TopicArn", "exports", "TopicArn of Sns is 'exports'; expected arn:"),
            ("MessageId", "", "MessageId of Sns is empty"),
            ("MessageAttributes", [1], "MessageAttributes of Sns is a list"),
            ("Message", None, "Message of Sns is missing"),
            ("Subject", 1, "Subject of Sns is a number"),
        ],
    )
    def test_malformed(self, name: str, value: object, reason: str):
        """Each names the field."""

        def spoil(payload: Any) -> None:
            payload["Records"][0]["Sns"][name] = value

        assert reason in refused("sns_text", spoil)

    def test_another_source_is_malformed(self):
        """A function wired to the wrong source says so."""

        def spoil(payload: Any) -> None:
            payload["Records"][0]["EventSource"] = "aws:ses"

        assert "is another source wired to this function?" in refused("sns_text", spoil)


class TestEventBridge:
    """Events of a bus."""

    def test_stays_as_it_came(self):
        """The envelope is not touched, unknown fields included."""
        payload = sample("eventbridge_replay")
        (event,) = from_eventbridge(copy.deepcopy(payload))
        assert isinstance(event, Event)
        assert event.envelope == payload

    def test_event_id_is_the_last_resort_of_an_s3_event(self):
        """S3 may send what has neither sequencer nor request."""
        payload = sample("eventbridge_s3_put")
        del payload["detail"]["object"]["sequencer"], payload["detail"]["request-id"]
        (event,) = from_eventbridge(payload)
        assert isinstance(event, Event)
        assert event.identity.endswith(f"|{payload['id']}")

    @pytest.mark.parametrize(
        ("name", "value", "reason"),
        [
            ("id", None, "id of the event is missing"),
            ("source", "", "source is empty; an EventBridge event needs it"),
            ("detail-type", 1, "detail-type of the event is a number"),
            ("account", None, "account of the event is missing"),
            ("time", {}, "time of the event is an object"),
            ("resources", "arn", "resources is text; expected a list of ARNs"),
            ("resources", [1], "resources is a list; expected a list of ARNs"),
            ("detail", [], "detail of the event is a list"),
            ("detail", {"x": "x" * 262_144}, "the limit is 262144: put the content in S3"),
            ("detail", {"x": float("nan")}, "the event is not JSON"),
            ("detail", {"x": 10**5000}, "the event is not JSON"),
            ("detail", {"x": {1, 2}}, "the event is not JSON"),
        ],
    )
    def test_malformed(self, name: str, value: object, reason: str):
        """Each names the field, or the limit and what to do."""
        assert reason in refused("eventbridge_custom", lambda payload: payload.update({name: value}))

    @pytest.mark.parametrize(("levels", "accepted"), [(30, True), (32, False), (5000, False)])
    def test_depth(self, levels: int, *, accepted: bool):
        """32 levels are allowed, including envelope and detail; a deeper event crashes no process."""
        nested: Any = []
        for _ in range(levels - 1):
            nested = [nested]
        (event,) = from_eventbridge(sample("eventbridge_custom") | {"detail": {"x": nested}})
        assert isinstance(event, Event) is accepted
        assert accepted or "nested deeper than 32 levels" in str(event)

    def test_not_an_object(self):
        """Malformed, never an exception."""
        (malformed,) = from_eventbridge("event")  # type: ignore[arg-type]
        assert str(malformed) == "the event is text; expected a JSON object"


class TestQueued:
    """Messages of queues: the gateway's own, the user's, a stranger's."""

    @pytest.mark.parametrize("name", [name for name in EXPECTED if not name.startswith("queued")])
    def test_what_lambda_gave_up_is_what_the_function_was_given(self, name: str):
        """Every sample of every source: the same events, identities and reasons as on the direct route."""
        record = {
            "version": "1.0",
            "requestContext": {"condition": "RetriesExhausted"},
            "requestPayload": sample(name),
        }
        queued = from_queue(json.dumps(record), RETRY_QUEUE, BELIEVED)
        assert queued.payload == sample(name)
        assert [*map(comparable, queued.events)] == [*map(comparable, parsed(name))]

    @pytest.mark.parametrize(
        ("queued", "direct"),
        [
            ("queued_s3_put", "s3_put"),
            ("queued_sns", "sns_json"),
            ("queued_sns_s3_put", "s3_put"),
            ("queued_eventbridge", "eventbridge_custom"),
            ("queued_redriven", "sns_json"),
        ],
    )
    def test_a_queue_adds_nothing(self, queued: str, direct: str):
        """Event and identity are those of the direct route: the two dedupe each other."""
        assert parsed(queued) == parsed(direct)

    @pytest.mark.parametrize("name", ["queued_s3_put", "queued_sns", "queued_eventbridge"])
    def test_in_a_queue_that_is_not_listed_no_message_is_trusted(self, name: str):
        """A sender could otherwise pose as S3, a topic or a bus, and claim a real event's identity."""
        (record,) = sample(name)["Records"]
        (malformed,) = from_queue(record["body"], OTHER_QUEUE, BELIEVED).events
        assert "is not in EventQueueArns" in str(malformed)

    @pytest.mark.parametrize("queue", [OWN_QUEUE, OTHER_QUEUE])
    def test_an_on_failure_record_counts_in_the_retry_queue_only(self, queue: str):
        """In any other queue anybody could have written it."""
        (record,) = sample("queued_given_up_s3_put")["Records"]
        (malformed,) = from_queue(record["body"], queue, BELIEVED).events
        assert isinstance(malformed, MalformedEvent)

    def test_without_a_retry_queue_no_queue_is_it(self):
        """An empty setting trusts no queue."""
        (record,) = sample("queued_given_up_s3_put")["Records"]
        (malformed,) = from_queue(record["body"], "", TrustedQueues("x", frozenset(), frozenset())).events
        assert isinstance(malformed, MalformedEvent)

    def test_a_listed_queue_does_not_make_its_topic_trusted(self):
        """The publishers of a topic are not the owners of the queue."""
        (event,) = parsed("queued_sns_forged_s3_put")
        assert isinstance(event, Event)
        assert event.envelope["source"] == "aws.sns"

    def test_what_is_malformed_is_kept_with_its_queue(self):
        """A redrive does not make its message trusted; listing its queue does."""
        (record,) = sample("queued_forged_s3_put")["Records"]
        kept = from_queue(record["body"], OTHER_QUEUE, BELIEVED).payload
        assert kept == {"eventSourceARN": OTHER_QUEUE, "body": record["body"]}
        redriven = json.dumps({"format": 1, "reason_text": "x", "payload": kept})
        (malformed,) = from_queue(redriven, RETRY_QUEUE, BELIEVED).events
        assert isinstance(malformed, MalformedEvent)
        listed = TrustedQueues(RETRY_QUEUE, frozenset({OTHER_QUEUE}), frozenset())
        assert from_queue(redriven, RETRY_QUEUE, listed).events == parsed("s3_put")

    def test_what_the_source_could_not_deliver_is_read_as_it_is(self):
        """The DLQ messages of EventBridge and SNS are the event and the notification themselves."""
        for name, direct in (("queued_sns", "sns_json"), ("queued_eventbridge", "eventbridge_custom")):
            (record,) = sample(name)["Records"]
            assert from_queue(record["body"], RETRY_QUEUE, BELIEVED).events == parsed(direct)

    def test_a_compressed_dead_event_is_unpacked(self):
        """As the ingress DLQ keeps what is too large for a message."""
        packed = b64encode(zlib.compress(json.dumps(sample("s3_put")).encode())).decode()
        redriven = json.dumps({"format": 1, "reason_text": "x", "payload_zlib_base64": packed})
        assert from_queue(redriven, RETRY_QUEUE, BELIEVED).events == parsed("s3_put")

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("", "the message is text"),
            ("[" * 100_000, "the message is text"),
            ("[1]", "the message is a list"),
            ("{}", "it is no S3 notification, SNS message or EventBridge event"),
            ('{"Records": []}', "it is no S3 notification"),
            ('{"requestPayload": null}', "requestPayload of Lambda's on-failure record is missing"),
            ('{"reason_text": "", "payload": 1}', "payload of the dead event is a number"),
            ('{"reason_text": "", "payload_zlib_base64": "eA=="}', "payload_zlib_base64 cannot be unpacked"),
            ('{"reason_text": "", "payload_zlib_base64": 7}', "payload_zlib_base64 cannot be unpacked"),
        ],
    )
    def test_malformed(self, body: str, reason: str):
        """Named, with the queue; never an exception."""
        (malformed,) = from_queue(body, RETRY_QUEUE, BELIEVED).events
        assert str(malformed).startswith(f"a message of {RETRY_QUEUE}: ")
        assert reason in str(malformed)

    def test_a_subscription_that_waits_for_its_confirmation_says_so(self):
        """No event arrives before somebody confirms the subscription."""
        message = {
            "Type": "SubscriptionConfirmation",
            "MessageId": "1",
            "TopicArn": "arn:aws:sns:eu-west-1:1:t",
        }
        (malformed,) = from_queue(json.dumps(message), OWN_QUEUE, BELIEVED).events
        assert "SubscribeURL" in str(malformed)

    def test_a_malformed_sns_message_names_its_field(self):
        """As for one that Lambda receives."""
        message = {"Type": "Notification", "MessageId": "1", "TopicArn": "exports"}
        (malformed,) = from_queue(json.dumps(message), OWN_QUEUE, BELIEVED).events
        assert "TopicArn of the SNS message is 'exports'; expected arn:" in str(malformed)


def comparable(result: Event | MalformedEvent) -> Any:
    return str(result) if isinstance(result, MalformedEvent) else result


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@pytest.mark.guarantee(5)
@given(JSON, st.sampled_from(sorted(EXPECTED)), st.data())
def test_nothing_that_arrives_ends_in_an_exception(value: Any, name: str, data: st.DataObject):
    """Any JSON in any field of any sample gives events or reasons; SQS wraps it in text."""
    payload = sample(name)
    queue = RETRY_QUEUE
    if name.startswith("queued"):
        (record,) = payload["Records"]
        payload, queue = json_or_text(record["body"]), record["eventSourceARN"]
    place = payload
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = value
            break
        place = place[key]
    results = list(from_queue(json.dumps(payload), queue, BELIEVED).events)
    if not name.startswith("queued"):
        results += SOURCES[name.partition("_")[0]](payload)
    for result in results:
        assert isinstance(result, Event | MalformedEvent)
        if isinstance(result, Event):
            json.dumps(result.envelope, allow_nan=False)
            result.identity.encode()
