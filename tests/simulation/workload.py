"""A day of events from every source, and what each of them must come to, known by construction."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from mwaa_gateway.outcomes import Reason
from simulation.airflow import Airflow

__all__ = [
    "ENVIRONMENTS",
    "RULES",
    "UNWRAPPED_TOPIC",
    "Delivery",
    "Expected",
    "Piece",
    "Sent",
    "Workload",
    "a_manifest",
    "a_notification",
    "a_rate",
    "an_event",
    "an_upload",
    "generate",
    "orders_when_paused",
    "sequencer",
    "target",
    "the_same_upload_through_eventbridge",
    "uploads",
    "with_faults",
]

ACCOUNT = "123456789012"
REGION = "eu-west-1"
BUCKET = "acme-landing"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:notices"
UNWRAPPED_TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:landing"

ENVIRONMENTS = {
    "analytics": (
        "3.3.1",
        {"audit", "moved_b", "handle_notice", "close_a", "killer", "unpack", "load_batch"},
    ),
    "legacy": ("2.11.2", {"ingest_orders", "index_upload", "moved_a", "close_b", "load_batch"}),
    "science": ("2.11.2", {"close_c", "price", "load_batch"}),
}

_N = {"input_paths": {"n": "$.detail.n"}, "input_template": {"n": "<n>"}}


def target(target_id: str, environment: str, dag_id: str, transformer: Any = None) -> dict[str, Any]:
    """Return a target of a rule."""
    written = {"id": target_id, "environment": environment, "dag_id": dag_id}
    return written | ({"input_transformer": transformer} if transformer else {})


def uploads(prefix: str) -> dict[str, Any]:
    """Return the pattern of uploads below a prefix."""
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [BUCKET]}, "object": {"key": [{"prefix": prefix}]}},
    }


RULES: dict[str, dict[str, Any]] = {
    rule["id"]: rule
    for rule in (
        {
            "id": "sales.orders",
            "pattern": uploads("orders/"),
            "targets": [
                target(
                    "default",
                    "legacy",
                    "ingest_orders",
                    {
                        "input_paths": {
                            "key": "$.detail.object.key",
                            "sequencer": "$.detail.object.sequencer",
                        },
                        "input_template": {"key": "<key>", "sequencer": "<sequencer>"},
                    },
                )
            ],
        },
        {
            "id": "audit.raw",
            "pattern": uploads("raw/"),
            "targets": [target("audit", "analytics", "audit"), target("index", "legacy", "index_upload")],
        },
        {
            "id": "finance.closed",
            "pattern": {"source": ["acme.finance"], "detail-type": ["Business Day Closed"]},
            "targets": [
                target("a", "analytics", "close_a", _N),
                target("b", "legacy", "close_b", _N),
                target("c", "science", "close_c", _N),
            ],
        },
        {
            "id": "sales.moved",
            "pattern": {"source": ["acme.sales"], "detail-type": ["Order Placed"]},
            "targets": [target("default", "legacy", "moved_a", _N)],
        },
        {
            "id": "ops.notices",
            "pattern": {"source": ["aws.sns"], "detail": {"topic-arn": [TOPIC]}},
            "targets": [
                target(
                    "default",
                    "analytics",
                    "handle_notice",
                    {"input_paths": {"n": "$.detail.message.n"}, "input_template": {"n": "<n>"}},
                )
            ],
        },
        {
            "id": "desk.rates",
            "pattern": {"source": ["acme.desk"], "detail-type": ["Rate Published"]},
            "dedupe_key": {"key": ["<$.detail.desk>"], "window": "10m"},
            "targets": [target("default", "science", "price", _N)],
        },
        {
            "id": "archive.manifests",
            "pattern": {"source": ["acme.archive"], "detail-type": ["Manifest Written"]},
            "targets": [
                target(
                    "default",
                    "analytics",
                    "unpack",
                    {
                        "input_paths": {"n": "$.detail.n", "files": "$.detail.files"},
                        "input_template": {"n": "<n>", "files": "<files>"},
                    },
                )
                | {"large_conf": "claim_check"}
            ],
        },
        {
            "id": "lab.missing",
            "pattern": {"source": ["acme.lab"], "detail-type": ["Missing"]},
            "targets": [target("default", "legacy", "no_such_dag", _N)],
        },
        {
            "id": "lab.killer",
            "pattern": {"source": ["acme.lab"], "detail-type": ["Killer"]},
            "targets": [target("default", "analytics", "killer", _N)],
        },
        {
            "id": "lab.large",
            "pattern": {"source": ["acme.lab"], "detail-type": ["Large"]},
            "targets": [target("default", "analytics", "audit")],
        },
    )
}
ORDERS_IN_ANALYTICS = RULES["sales.orders"] | {
    "targets": [RULES["sales.orders"]["targets"][0] | {"environment": "analytics"}]
}
MOVED = RULES["sales.moved"] | {"targets": [target("default", "analytics", "moved_b", _N)]}


def orders_when_paused(when_paused: str) -> dict[str, Any]:
    rule = RULES["sales.orders"]
    return rule | {"targets": [rule["targets"][0] | {"when_paused": when_paused}]}


RunKey = tuple[
    int, str, str
]  # (event's number, rule, target); of a rerun, the target with its __r<generation>


@dataclass(frozen=True, slots=True)
class Delivery:
    """One arrival of an event at an ingress function."""

    at: float
    function: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """What an event is to a rule that collects: a member, with what completeness counts of it; or a marker.

    `rule` is the id under which the rule collects: that of a SHADOW rule ends with ~shadow.
    """

    rule: str
    key: str
    distinct: str = ""
    part: str = ""
    is_marker: bool = False
    count: int | None = None  # what a marker says


@dataclass
class Expected:
    """What the events must come to: where each run may lie, what must be dead and why, and when each event came.

    Of the events that share a dedupe_key all but one are in `stands_for`, with the number of that one. `pieces` are the
    events of rules that collect.
    """

    runs: dict[RunKey, frozenset[tuple[str, str]]] = field(default_factory=dict)
    dead: dict[RunKey, Reason] = field(default_factory=dict)
    dead_at_ingress: dict[str, int] = field(default_factory=dict)  # reason: how many distinct events
    garbage: int = 0
    arrived: dict[int, float] = field(default_factory=dict)
    keys: dict[int, str] = field(default_factory=dict)
    files: dict[int, str] = field(default_factory=dict)
    stands_for: dict[int, int] = field(default_factory=dict)
    pieces: dict[int, Piece] = field(default_factory=dict)

    def came(self, n: int, at: float) -> None:
        """Note when an event was first delivered; its run may be due since one that it stands beside."""
        self.arrived[n] = at
        if (first := self.stands_for.get(n)) is not None:
            self.arrived[first] = min(self.arrived[first], at)


@dataclass
class Workload:
    deliveries: list[Delivery]
    expected: Expected
    garbage: list[tuple[float, str, str]]  # (when, environment, text on the trigger queue)
    rule_moved_at: float | None


WITHOUT_TASKS = frozenset({"close_a", "close_c"})  # on Airflow 3 and 2: no task instance shows their runs


def airflows() -> dict[str, Airflow]:
    return {
        name: Airflow(name, version, set(dags), WITHOUT_TASKS)
        for name, (version, dags) in ENVIRONMENTS.items()
    }


# --- events, as their sources write them ------------------------------------------------------------------------


def sequencer(n: int) -> str:
    return f"0062{n:08X}7"


def number(text: str) -> int:
    """Read the event's number from what a run was given."""
    return int(text[4:12], 16)


def an_upload(n: int, key: str) -> dict[str, Any]:
    """Return the S3 notification of one upload."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": REGION,
                "eventTime": "2027-01-15T08:00:00.000Z",
                "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": "A1"},
                "requestParameters": {"sourceIPAddress": "10.0.0.1"},
                "responseElements": {"x-amz-request-id": f"R{n}"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "bucket": {"name": BUCKET, "arn": f"arn:aws:s3:::{BUCKET}"},
                    "object": {"key": quote_plus(key), "size": 1024, "eTag": "e", "sequencer": sequencer(n)},
                },
            }
        ]
    }


def the_same_upload_through_eventbridge(n: int, key: str) -> dict[str, Any]:
    detail = {
        "version": "0",
        "bucket": {"name": BUCKET},
        "object": {"key": key, "size": 1024, "etag": "e", "sequencer": sequencer(n).lower()},
        "request-id": f"R{n}",
        "requester": ACCOUNT,
        "reason": "PutObject",
    }
    return an_event(f"s3-{n}", "aws.s3", "Object Created", detail)


def an_event(
    event_id: str,
    source: str,
    detail_type: str,
    detail: dict[str, Any],
    time: str = "2027-01-15T08:00:00Z",
) -> dict[str, Any]:
    return {
        "version": "0",
        "id": event_id,
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT,
        "time": time,
        "region": REGION,
        "resources": [],
        "detail": detail,
    }


def a_notification(n: int, topic: str, message: Any) -> dict[str, Any]:
    sns = {
        "TopicArn": topic,
        "MessageId": f"m-{n}",
        "Subject": "notice",
        "Message": json.dumps(message),
        "Timestamp": "2027-01-15T08:00:00.000Z",
        "MessageAttributes": {},
    }
    return {"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": sns}]}


def a_rate(n: int, desk: str, second: int) -> dict[str, Any]:
    """Return one desk's rate, of so many seconds after eight o'clock."""
    time = f"2027-01-15T08:{second // 60:02}:{second % 60:02}Z"
    return an_event(f"d-{n}", "acme.desk", "Rate Published", {"n": sequencer(n), "desk": desk}, time)


def a_manifest(n: int, files: str) -> dict[str, Any]:
    """Return an event that becomes a conf as large as its text."""
    return an_event(f"a-{n}", "acme.archive", "Manifest Written", {"n": sequencer(n), "files": files})


# --- a seed's day ------------------------------------------------------------------------------------------------

HOSTILE = (
    "it's.csv",
    "a b+c.csv",
    "';$(rm -rf .);'.csv",
    "--subdir=x.csv",
    'say "hi"\\.csv',
    "größe/€.csv",
    "new\nline.csv",
    "%2F%27.csv",
)

Sent = list[tuple[str, dict[str, Any]]]


class _Day:
    def __init__(self, seed: random.Random) -> None:
        self.random = seed
        self.expected = Expected()
        self.keys: list[str] = []
        self.rates: dict[tuple[str, int], int] = {}

    def run(self, n: int, rule: str, target: str, *places: tuple[str, str]) -> None:
        self.expected.runs[n, rule, target] = frozenset(places)

    def upload(self, n: int) -> Sent:
        raw = self.random.random() < 0.15
        if not raw and self.keys and self.random.random() < 0.1:
            key = self.random.choice(self.keys)  # written again
        else:
            name = self.random.choice(HOSTILE) if self.random.random() < 0.05 else f"{n:06d}.csv"
            key = f"{'raw' if raw else 'orders'}/{name}"
        if raw:
            self.run(n, "audit.raw", "audit", ("analytics", "audit"))
            self.run(n, "audit.raw", "index", ("legacy", "index_upload"))
        else:
            self.keys.append(key)
            self.run(n, "sales.orders", "default", ("legacy", "ingest_orders"))
        self.expected.keys[n] = key
        direct = ("s3_events", an_upload(n, key))
        bridged = ("eventbridge_events", the_same_upload_through_eventbridge(n, key))
        wrapped = ("sns_events", a_notification(n, UNWRAPPED_TOPIC, direct[1]))
        [route] = self.random.choices(("direct", "bridged", "wrapped", "both"), (50, 25, 10, 15))
        return {"direct": [direct], "bridged": [bridged], "wrapped": [wrapped], "both": [direct, bridged]}[
            route
        ]

    def finance(self, n: int) -> Sent:
        for target, environment in (("a", "analytics"), ("b", "legacy"), ("c", "science")):
            self.run(n, "finance.closed", target, (environment, f"close_{target}"))
        event = an_event(f"f-{n}", "acme.finance", "Business Day Closed", {"n": sequencer(n)})
        return [("eventbridge_events", event)]

    def order(self, n: int) -> Sent:
        # Its rule is edited in the middle of the day: either version's target, and only one of them.
        self.run(n, "sales.moved", "default", ("legacy", "moved_a"), ("analytics", "moved_b"))
        return [("eventbridge_events", an_event(f"o-{n}", "acme.sales", "Order Placed", {"n": sequencer(n)}))]

    def notice(self, n: int) -> Sent:
        self.run(n, "ops.notices", "default", ("analytics", "handle_notice"))
        return [("sns_events", a_notification(n, TOPIC, {"n": sequencer(n), "text": "it's on"}))]

    def rate(self, n: int) -> Sent:
        """One run for each desk and ten minutes of event time, also at their very beginning and end."""
        desk, window = self.random.choice("abcdef"), self.random.randrange(5)
        second = 600 * window + self.random.choice((0, 1, 300, 599))
        first = self.rates.setdefault((desk, window), n)
        if first == n:
            self.run(n, "desk.rates", "default", ("science", "price"))
        else:
            self.expected.stands_for[n] = first
        return [("eventbridge_events", a_rate(n, desk, second))]

    def manifest(self, n: int) -> Sent:
        files = f"{sequencer(n)}/" * self.random.choice((10, 3_000, 10_000))
        self.expected.files[n] = files
        self.run(n, "archive.manifests", "default", ("analytics", "unpack"))
        return [("eventbridge_events", a_manifest(n, files))]

    def of_no_account(self, n: int) -> Sent:
        """What becomes nothing at all: a test event, an event without a rule, a forged upload."""
        match self.random.randrange(3):
            case 0:
                return [("s3_events", {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET})]
            case 1:
                return [("eventbridge_events", an_event(f"u-{n}", "acme.other", "Unheard Of", {}))]
            case _:
                return [
                    ("sns_events", a_notification(n, TOPIC + "-other", an_upload(n - 1, "orders/forged.csv")))
                ]

    def poison(self, n: int) -> Sent:
        kind = self.random.choice(("record", "notification", "missing", "killer", "large"))
        match kind:
            case "record":
                payload = an_upload(n, f"orders/{n}.csv")
                del (
                    payload["Records"][0]["s3"]["object"]["sequencer"],
                    payload["Records"][0]["responseElements"],
                )
                self._dead_at_ingress("malformed_event")
                return [("s3_events", payload)]
            case "notification":
                payload = a_notification(n, TOPIC, {"n": n})
                payload["Records"][0]["Sns"]["MessageId"] = ""
                self._dead_at_ingress("malformed_event")
                return [("sns_events", payload)]
            case "large":
                self._dead_at_ingress("conf_too_large")
                detail = {"n": sequencer(n), "text": "x" * 40_000}
                return [("eventbridge_events", an_event(f"p-{n}", "acme.lab", "Large", detail))]
            case _:
                reason = Reason.DAG_MISSING if kind == "missing" else Reason.CRASHED
                self.expected.dead[n, f"lab.{kind}", "default"] = reason
                event = an_event(f"p-{n}", "acme.lab", kind.title(), {"n": sequencer(n)})
                return [("eventbridge_events", event)]

    def _dead_at_ingress(self, reason: str) -> None:
        self.expected.dead_at_ingress[reason] = self.expected.dead_at_ingress.get(reason, 0) + 1


def generate(
    seed: random.Random,
    events: int,
    *,
    begins: float,
    seconds: float,
    duplicated: float,
    reordered: float,
    poison: float = 0.01,
) -> Workload:
    """Make so many events, a tenth of them in bursts of one second, with their duplicates and delays."""
    day = _Day(seed)
    kinds: tuple[Callable[[int], Sent], ...] = (
        day.upload,
        day.finance,
        day.order,
        day.notice,
        day.of_no_account,
        day.rate,
        day.manifest,
    )
    deliveries: list[Delivery] = []
    burst_at, burst_left, burst_kind = 0.0, 0, day.upload
    for n in range(1, events + 1):
        if not burst_left and seed.random() < 0.005:
            burst_left, burst_at = 20, begins + seed.random() * seconds
            burst_kind = seed.choice((day.upload, day.order, day.finance, day.rate))
        if burst_left:
            burst_left -= 1
            at, kind = burst_at + seed.random(), burst_kind
        else:
            at = begins + seed.random() * seconds
            [kind] = seed.choices(kinds, (58, 5, 17, 12, 2, 5, 1))
        if seed.random() < poison:
            kind = day.poison
        sent = kind(n)
        day.expected.came(n, at)
        deliveries.extend(with_faults(seed, at, sent, duplicated, reordered))
    garbage = [
        (begins + seed.random() * seconds, "science", text)
        for text in ("", "{}", '{"format": 99}')[: round(events * poison / 3)]
    ]
    day.expected.garbage = len(garbage)
    return Workload(deliveries, day.expected, garbage, begins + seconds / 2)


def with_faults(
    seed: random.Random, at: float, sent: Sent, duplicated: float, reordered: float
) -> Iterator[Delivery]:
    """Yield the deliveries of an event that is first sent at `at`."""
    for function, payload in sent:
        late = seed.random() * 600 if seed.random() < reordered else 0.0
        yield Delivery(at + late, function, payload)
        while seed.random() < duplicated:
            yield Delivery(at + late + _again_after(seed), function, payload)


def _again_after(seed: random.Random) -> float:
    """From the next moment to days later."""
    return seed.choice((0.0, 1.0, 60.0, 3600.0, 200_000.0)) * seed.random()
