"""What was read about an event, and the answer it must give: every state of docs/why.md, as data."""

from dataclasses import dataclass
from typing import Any

from gateway_cli.answers.evidence import BatchNow, Circuit, Evidence, QueueNow, RequestRow, RunNow, Upload
from gateway_cli.answers.mwaa_status import MwaaStatus
from gateway_cli.answers.nearest import RuleFit
from gateway_cli.answers.states import State
from gateway_cli.answers.subject import Subject
from gateway_cli.answers.trail import TrailLine
from gateway_cli.rules.explanation import FieldVerdict

NOW = 1_795_946_400.0  # 2026-11-29 10:00:00 UTC
URI = "s3://acme/Orders/a.csv"
RUN = "evt__finance.orders__0f3c2a41b7d94e6f8a5b3c2d1e0f9a8b"
BATCH = "b" * 32
UPLOAD = Subject("resource", URI)

_ABOUT: dict[str, Any] = {
    "event_id": "e-1",
    "identity": "1" * 64,
    "source": "aws.s3",
    "detail_type": "Object Created",
    "resource": URI,
}
_OF_RUN: dict[str, Any] = {
    "rule_id": "finance.orders",
    "target_id": "finance.orders",
    "environment": "analytics",
    "dag_id": "ingest",
    "run_id": RUN,
}


def line(outcome: str, ago: float = 180.0, **fields: Any) -> TrailLine:
    """Return a line of the trail about the upload."""
    return TrailLine(at=NOW - ago, outcome=outcome, **{**_ABOUT, **fields})


REQUESTED = line("Requested", **_OF_RUN, message="run requested")
UNMATCHED = line("Unmatched", rules_tried=7)


def attempt(outcome: str, ago: float = 60.0, **fields: Any) -> TrailLine:
    """Return a dispatcher's line."""
    return line(outcome, ago, **{**_OF_RUN, "attempt": 1, **fields})


def row(state: str, **fields: Any) -> RequestRow:
    """Return the request's row."""
    known: dict[str, Any] = {
        "run_id": RUN,
        "rule_id": "finance.orders",
        "environment": "analytics",
        "dag_id": "ingest",
        "attempt": 1,
        "last_attempt_at": NOW - 60,
    }
    return RequestRow(state=state, **{**known, **fields})


def accepted(**fields: Any) -> RequestRow:
    """Return the row of a request that Airflow accepted."""
    return row("triggered", **{"finished_at": NOW - 60, **fields})


def fit(**fields: Any) -> RuleFit:
    """Return a rule held against the upload; without `wrong` it matches."""
    known: dict[str, Any] = {
        "rule_id": "finance.orders",
        "version": 3,
        "state": "ENABLED",
        "changed_at": NOW - 86_400,
        "changed_by": "alice",
    }
    return RuleFit(**{**known, **fields})


CASE = FieldVerdict(
    "detail.object.key",
    [{"prefix": "orders/"}],
    ["Orders/a.csv"],
    False,
    "only upper and lower case differ: use equals-ignore-case if that is meant",
)


def batch(**fields: Any) -> BatchNow:
    """Return an open batch of the upload's rule."""
    known: dict[str, Any] = {"id": BATCH, "rule_id": "finance.day", "key": "date=2026-11-29", "state": "open"}
    return BatchNow(**{**known, **fields})


MEMBER = line("Member", rule_id="finance.day", batch_key="date=2026-11-29")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A case: the evidence, the state, words of the sentence, and the commands in order."""

    name: str
    state: State
    says: tuple[str, ...]
    commands: tuple[str, ...] = ()
    subject: Subject = UPLOAD
    lines: tuple[TrailLine, ...] = ()
    more: dict[str, Any]

    @property
    def evidence(self) -> Evidence:
        """What was read."""
        return Evidence(
            subject=self.subject, now=NOW, searched_since=NOW - 2 * 86_400, lines=self.lines, **self.more
        )


def _case(
    name: str,
    state: State,
    says: str | tuple[str, ...],
    *commands: str,
    lines: tuple[TrailLine, ...] = (),
    subject: Subject = UPLOAD,
    **more: Any,
) -> Expected:
    words = (says,) if isinstance(says, str) else says
    return Expected(
        name=name, state=state, says=words, commands=commands, subject=subject, lines=lines, more=more
    )


SEND = f"mwaa-gateway events send {URI}"
RERUN = f"mwaa-gateway rerun --event {RUN}"
ENABLE = "mwaa-gateway rules enable finance.orders"
CHECK = "mwaa-gateway environments check analytics"
REDRIVE = "mwaa-gateway dlq redrive --rule finance.orders --reason broken_rule"

CASES = [
    # --- never received, or not known
    _case("no line, S3 not asked", State.NEVER_RECEIVED, "Never received", SEND),
    _case(
        "no line, no object",
        State.NEVER_RECEIVED,
        "S3 has no such object",
        "mwaa-gateway status",
        upload=Upload(exists=False, sends_to_eventbridge=True, notifies=0),
    ),
    _case(
        "no line, a silent bucket",
        State.NEVER_RECEIVED,
        "Bucket acme sends no events",
        SEND,
        upload=Upload(exists=True, uploaded_at=NOW - 3600, sends_to_eventbridge=False, notifies=0),
    ),
    _case(
        "no line, a notification that may go elsewhere",
        State.NEVER_RECEIVED,
        "does not send to EventBridge; it has 1 notification",
        SEND,
        upload=Upload(exists=True, uploaded_at=NOW - 3600, sends_to_eventbridge=False, notifies=1),
    ),
    _case(
        "no line, EventBridge is on",
        State.NEVER_RECEIVED,
        "sends to EventBridge",
        SEND,
        upload=Upload(exists=True, uploaded_at=NOW - 3600, sends_to_eventbridge=True, notifies=0),
    ),
    _case(
        "no line, another region",
        State.NEVER_RECEIVED,
        "Bucket acme is in eu-west-1, and the gateway in eu-central-1",
        SEND,
        region="eu-central-1",
        upload=Upload(region="eu-west-1"),
    ),
    _case(
        "no line, uploaded this moment",
        State.NEVER_RECEIVED,
        "It was uploaded 09:59:50 UTC (10 s ago)",
        f"mwaa-gateway why {URI}",
        upload=Upload(exists=True, uploaded_at=NOW - 10, sends_to_eventbridge=True, notifies=0),
    ),
    _case(
        "no line, S3 answers half",
        State.NEVER_RECEIVED,
        "Never received",
        SEND,
        upload=Upload(exists=True, uploaded_at=NOW - 3600),
    ),
    _case(
        "no line of an event id",
        State.NEVER_RECEIVED,
        "has no event e-9",
        "mwaa-gateway status",
        subject=Subject("event_id", "e-9"),
    ),
    _case(
        "no line, and unmatched events leave none",
        State.NOT_KNOWN,
        "leave no line (LogUnmatched is none)",
        f"{SEND} --dry-run",
        log_unmatched="none",
    ),
    _case(
        "no line, and unmatched events are sampled",
        State.NOT_KNOWN,
        "a line only sometimes",
        subject=Subject("event_id", "e-9"),
        log_unmatched="sampled",
    ),
    _case(
        "uploaded before the search began",
        State.NOT_KNOWN,
        "before the search began",
        f"mwaa-gateway why {URI} --since 30d",
        upload=Upload(exists=True, uploaded_at=NOW - 5 * 86_400),
    ),
    _case(
        "a run_id that nothing has",
        State.NOT_KNOWN,
        "has no line of evt__",
        f"mwaa-gateway why {RUN} --since 30d",
        subject=Subject("run_id", RUN),
    ),
    _case(
        "the log could not be searched",
        State.NOT_KNOWN,
        "the log could not be searched",
        f"mwaa-gateway why {URI}",
        log_searched=False,
        unread=("the log could not be searched: StartQuery was denied",),
    ),
    # --- received, and no request
    _case(
        "only the case differs",
        State.NO_RULE_MATCHES,
        (
            'detail.object.key is "Orders/a.csv", and the rule wants {"prefix": "orders/"}',
            "only upper and lower case differ",
        ),
        f"{SEND} --rule finance.orders",
        lines=(UNMATCHED,),
        fits=(fit(wrong=(CASE,)),),
    ),
    _case(
        "an event of another source, the nearest rule",
        State.NO_RULE_MATCHES,
        "The nearest is finance.orders (v3, ENABLED)",
        "mwaa-gateway rules show finance.orders",
        lines=(line("Unmatched", resource="", source="acme"),),
        fits=(fit(wrong=(CASE,)),),
    ),
    _case(
        "no rule is near",
        State.NO_RULE_MATCHES,
        "none of 7 rules of its partitions matches",
        "mwaa-gateway rules list",
        lines=(UNMATCHED,),
    ),
    _case(
        "a field that the log does not know",
        State.NO_RULE_MATCHES,
        "detail.object.size must differ",
        f"{SEND} --rule finance.orders",
        lines=(UNMATCHED,),
        fits=(fit(unknown=("detail.object.size",)),),
    ),
    _case(
        "the rule came after the event",
        State.NO_RULE_MATCHES,
        ("fits now: it changed after the event", "by alice; it did not exist then"),
        f"{SEND} --rule finance.orders",
        lines=(UNMATCHED,),
        fits=(fit(version=1, changed_at=NOW - 30, is_later=True),),
    ),
    _case(
        "the rule was corrected after the event",
        State.NO_RULE_MATCHES,
        'as v2 it wanted detail.object.key {"prefix": "orders/"}',
        f"{SEND} --rule finance.orders",
        lines=(UNMATCHED,),
        fits=(fit(changed_at=NOW - 30, is_later=True),),
        fit_then=fit(version=2, wrong=(CASE,)),
    ),
    _case(
        "the rule was enabled after the event",
        State.NO_RULE_MATCHES,
        "as v2 it was DISABLED",
        f"{SEND} --rule finance.orders",
        lines=(UNMATCHED,),
        fits=(fit(changed_at=NOW - 30, is_later=True),),
        fit_then=fit(version=2, state="DISABLED"),
    ),
    _case(
        "the function had not read the rule's change yet",
        State.NO_RULE_MATCHES,
        ("fits now: it changed 2026-11-28", "had not read this yet; as v2 it was DISABLED"),
        f"{SEND} --rule finance.orders",
        lines=(UNMATCHED,),
        fits=(fit(is_later=True),),
        fit_then=fit(version=2, state="DISABLED"),
    ),
    _case(
        "the nearest rule changed after the event",
        State.NO_RULE_MATCHES,
        ("only upper and lower case differ", "It changed after the event", "as v2 it was SHADOW"),
        f"{SEND} --rule finance.orders",
        lines=(UNMATCHED,),
        fits=(fit(wrong=(CASE,), changed_at=NOW - 30, is_later=True),),
        fit_then=fit(version=2, state="SHADOW"),
    ),
    _case(
        "a disabled rule",
        State.RULE_DISABLED,
        (
            "rule finance.orders (v3) fits",
            "DISABLED, last changed 2026-11-28 10:00:00 UTC (24 h ago) by alice",
        ),
        ENABLE,
        f"{SEND} --rule finance.orders",
        lines=(UNMATCHED,),
        fits=(fit(state="DISABLED"),),
    ),
    _case(
        "a rule that somebody disabled since",
        State.NO_RULE_MATCHES,
        ("fits now: it changed after the event", 'as v2 it wanted detail.object.key {"prefix": "orders/"}'),
        ENABLE,
        f"{SEND} --rule finance.orders",
        lines=(UNMATCHED,),
        fits=(fit(state="DISABLED", changed_at=NOW - 30, is_later=True),),
        fit_then=fit(version=2, wrong=(CASE,)),
    ),
    _case(
        "a SHADOW rule",
        State.RULE_SHADOW,
        "it is in SHADOW and starts no run. Enabled, it would start DAG ingest in analytics",
        ENABLE,
        f"{SEND} --rule finance.orders",
        lines=(line("Shadow", **_OF_RUN),),
    ),
    _case(
        "a broken rule",
        State.RULE_BROKEN,
        "the gateway cannot use rule finance.orders",
        REDRIVE,
        lines=(
            line(
                "Dead",
                rule_id="finance.orders",
                reason="broken_rule",
                message="the event starts no run and is in the ingress dead-letter queue: targets is missing",
            ),
        ),
    ),
    _case(
        "a rule outside its namespace",
        State.OUTSIDE_NAMESPACE,
        "outside its namespace, so it starts nothing",
        "mwaa-gateway namespaces show finance",
        REDRIVE,
        lines=(
            line(
                "Dead",
                rule_id="finance.orders",
                reason="broken_rule",
                message="rule finance.orders: targets[0].dag_id: names 'ingest', and namespace 'finance' allows 'x'",
            ),
        ),
    ),
    _case(
        "a dead event",
        State.DEAD,
        "the event starts no run (malformed_event): Records is a list.",
        "mwaa-gateway dlq redrive --reason malformed_event",
        lines=(
            line("Dead", reason="malformed_event", message="in the dead-letter queue: Records is a list"),
        ),
    ),
    # --- a request
    _case(
        "it waits for a slot",
        State.WAITING_FOR_SLOT,
        (
            "about 40 requests in its queue (SQS knows no place)",
            "the oldest for 5 min",
            "drained in about 10 min at 4 starts a minute",
        ),
        "mwaa-gateway status --environment analytics",
        lines=(REQUESTED,),
        queues={"analytics": QueueNow(40, 0, 300.0, 4.0)},
    ),
    _case(
        "it waits, the queue is not known",
        State.WAITING_FOR_SLOT,
        "how many wait with it is not known",
        "mwaa-gateway status --environment analytics",
        lines=(REQUESTED,),
    ),
    _case(
        "it waits behind the environment's breaker",
        State.CIRCUIT_OPEN,
        "analytics has been unavailable since 09:50:00 UTC (10 min ago)",
        CHECK,
        lines=(REQUESTED,),
        circuits=(Circuit("analytics", "", NOW - 600, NOW + 30, 5),),
    ),
    _case(
        "it waits for the end of MWAA's maintenance",
        State.CIRCUIT_OPEN,
        (
            "(10 min ago); MWAA reports UPDATING: MWAA updates the environment (its last update: 09:50:00",
            "by me",
        ),
        CHECK,
        lines=(REQUESTED,),
        circuits=(Circuit("analytics", "", NOW - 600, NOW + 30, 5),),
        mwaa={"analytics": MwaaStatus("UPDATING", NOW - 600, "me", "PENDING")},
    ),
    _case(
        "it waits behind its DAG's breaker",
        State.CIRCUIT_OPEN,
        (
            "has not known DAG ingest since",
            "(10 min ago): no such DAG; ",
            "the next probe is due 10:00:30 UTC (in 30 s)",
        ),
        CHECK,
        lines=(REQUESTED, attempt("Retryable", reason="dag_missing", message="no such DAG")),
        rows=(row("open"),),
        circuits=(Circuit("analytics", "ingest", NOW - 600, NOW + 30, 5),),
    ),
    _case(
        "it backs off",
        State.BACKING_OFF,
        ("attempt 1 was 09:59:00 UTC", "(web_server_busy: 503)", "the next try is at 10:01:00 UTC (in 60 s)"),
        CHECK,
        lines=(
            REQUESTED,
            attempt("Retryable", reason="web_server_busy", message="503.", redeliver_after=120.0),
        ),
        rows=(row("open"),),
    ),
    _case(
        "it backs off, the next try is due",
        State.BACKING_OFF,
        "the next try is due since",
        CHECK,
        lines=(REQUESTED, attempt("OutcomeUnknown", reason="unclear_answer", redeliver_after=10.0)),
        rows=(row("open"),),
    ),
    _case(
        "an attempt without an outcome",
        State.BACKING_OFF,
        "no outcome is logged yet",
        CHECK,
        lines=(REQUESTED,),
        rows=(row("open"),),
    ),
    _case(
        "held, its rule is disabled",
        State.HELD,
        "Held since 09:59:00 UTC (60 s ago), before DAG ingest in analytics: rule 'x' was disabled by bob.",
        ENABLE,
        lines=(REQUESTED,),
        rows=(row("held", reason="rule_disabled", text="rule 'x' was disabled by bob", stopped_at=NOW - 60),),
    ),
    _case(
        "held, its environment is paused",
        State.HELD,
        "Held since",
        "mwaa-gateway environments resume analytics",
        lines=(REQUESTED,),
        rows=(row("held", reason="environment_paused", text="paused", stopped_at=NOW - 60),),
    ),
    _case(
        "held, its DAG is paused",
        State.HELD,
        "Held since",
        "aws mwaa invoke-rest-api --name acme-analytics --method PATCH --path /dags/ingest "
        """--body '{"is_paused": false}'""",
        lines=(REQUESTED,),
        rows=(row("held", reason="dag_paused", text="paused", stopped_at=NOW - 60),),
        mwaa_names={"analytics": "acme-analytics"},
    ),
    _case(
        "dead, the conf is refused",
        State.DEAD,
        "DAG ingest in analytics got no run (conf_refused): n is no number.",
        f"mwaa-gateway dlq redrive {RUN}",
        lines=(REQUESTED,),
        rows=(row("dead", reason="conf_refused", text="n is no number.", stopped_at=NOW - 60),),
    ),
    _case(
        "only the log has the attempt",
        State.DEAD,
        "got no run (dag_missing)",
        f"mwaa-gateway dlq redrive {RUN}",
        lines=(REQUESTED, attempt("Rejected", reason="dag_missing", message="no such DAG")),
    ),
    _case(
        "a duplicate",
        State.DUPLICATE,
        (f"an earlier one started its run {RUN} of DAG ingest in analytics", "One event starts one run."),
        RERUN,
        lines=(REQUESTED, attempt("AlreadyTriggered")),
        rows=(accepted(finished_at=NOW - 3600),),
        runs={RUN: RunNow("success")},
    ),
    _case(
        "a duplicate that came while the first was on its way",
        State.DUPLICATE,
        "an earlier one started its run",
        RERUN,
        lines=(REQUESTED,),
        rows=(accepted(event_id="e-0", resource="s3://acme/Orders/b.csv", event_at=NOW - 190),),
    ),
    _case(
        "an upload whose run started from its other route",
        State.ACCEPTED,
        "Airflow accepted the run",
        lines=(line("Requested", **_OF_RUN, event_time="2026-11-29T09:56:50.751Z"),),
        rows=(accepted(event_id="of S3", resource=URI, event_at=NOW - 190),),
    ),
    _case(
        "accepted, Airflow was not asked",
        State.ACCEPTED,
        "Its state is not known: Airflow was not asked: CLI",
        lines=(REQUESTED, attempt("Triggered")),
        rows=(accepted(),),
        runs={RUN: RunNow(why_not="Airflow was not asked: CLI")},
    ),
    _case(
        "accepted, by the log alone",
        State.ACCEPTED,
        "Airflow accepted the run of DAG ingest in analytics 09:59:00 UTC (60 s ago).",
        lines=(REQUESTED, attempt("Triggered")),
    ),
    _case(
        "accepted, the DAG is paused",
        State.ACCEPTED_NOT_RUNNABLE,
        "the DAG was paused: the run starts once",
        lines=(REQUESTED, attempt("Triggered")),
        rows=(accepted(not_runnable="paused"),),
        runs={RUN: RunNow("queued")},
    ),
    _case(
        "accepted, the DAG's file is gone",
        State.ACCEPTED_NOT_RUNNABLE,
        "the DAG's file was gone or broken",
        CHECK,
        lines=(REQUESTED,),
        rows=(accepted(not_runnable="stale"),),
    ),
    _case(
        "queued in Airflow",
        State.QUEUED,
        "it is queued there and has not started yet",
        lines=(REQUESTED,),
        rows=(accepted(),),
        runs={RUN: RunNow("queued")},
    ),
    _case(
        "running",
        State.RUNNING,
        "it started 09:59:00 UTC (60 s ago)",
        lines=(REQUESTED,),
        rows=(accepted(),),
        runs={RUN: RunNow("running", "2026-11-29T09:59:00Z")},
    ),
    _case(
        "ended well, though its DAG was paused",
        State.ENDED_SUCCESS,
        "It ran and succeeded",
        lines=(REQUESTED,),
        rows=(accepted(not_runnable="paused"),),
        runs={RUN: RunNow("success", "09:59", "10:00")},
    ),
    _case(
        "ended as failed",
        State.ENDED_FAILED,
        "It ran and failed: Airflow accepted the run of DAG ingest in analytics 09:59:00 UTC (60 s ago); it ended 09:59:30",
        RERUN,
        lines=(REQUESTED,),
        rows=(accepted(),),
        runs={RUN: RunNow("failed", "2026-11-29T09:59:00Z", "2026-11-29T09:59:30Z")},
    ),
    _case(
        "deleted in Airflow",
        State.RUN_MISSING,
        "Airflow has no such run now",
        RERUN,
        lines=(REQUESTED,),
        rows=(accepted(),),
        runs={RUN: RunNow("missing")},
    ),
    # --- batches
    _case(
        "collected, something is missing",
        State.COLLECTING,
        ("It has 2 members.", "It lacks us, asia.", "It is due 11:00:00 UTC (in 60 min)"),
        f"mwaa-gateway batches release {BATCH}",
        lines=(MEMBER,),
        batch=batch(members=2, missing=("us", "asia"), due_at=NOW + 3600),
    ),
    _case(
        "collected, overdue and not counted",
        State.COLLECTING,
        ("What it lacks was not counted.", "It is overdue."),
        f"mwaa-gateway batches show {BATCH}",
        lines=(MEMBER,),
        batch=batch(members=500, due_at=NOW - 60, is_overdue=True),
    ),
    _case(
        "collected, nothing is missing",
        State.COLLECTING,
        ("It lacks nothing.", "It is released 10:00:30 UTC (in 30 s) if nothing else arrives."),
        f"mwaa-gateway batches show {BATCH}",
        lines=(MEMBER,),
        batch=batch(members=2, missing=(), releases_at=NOW + 30),
    ),
    _case(
        "collected, the batch was not found",
        State.COLLECTING,
        "which one is not known",
        "mwaa-gateway batches list --rule finance.day",
        lines=(MEMBER,),
    ),
    _case(
        "released as a run",
        State.ACCEPTED,
        f"released (complete, complete) as {RUN}",
        f"mwaa-gateway why {RUN}",
        lines=(MEMBER,),
        batch=batch(state="released", reason="complete", is_complete=True, run_ids=(RUN,)),
    ),
    _case(
        "released, its run ended",
        State.ENDED_SUCCESS,
        "It ran and succeeded",
        lines=(MEMBER,),
        batch=batch(state="released", reason="complete", is_complete=True, run_ids=(RUN,)),
        rows=(accepted(),),
        runs={RUN: RunNow("success")},
    ),
    _case(
        "released, its targets refused",
        State.DEAD,
        "starts no run: the conf is too large",
        f"mwaa-gateway batches show {BATCH}",
        lines=(MEMBER,),
        batch=batch(state="released", is_complete=True, refused=("the conf is too large",)),
    ),
    _case(
        "cancelled",
        State.BATCH_CANCELLED,
        "which was cancelled by bob",
        f"mwaa-gateway batches show {BATCH}",
        subject=Subject("batch_id", BATCH),
        batch=batch(state="cancelled", reason="cancelled", by="bob"),
    ),
    _case(
        "a batch of a SHADOW rule",
        State.RULE_SHADOW,
        "the rule is in SHADOW",
        "mwaa-gateway rules enable finance.day",
        lines=(MEMBER,),
        batch=batch(rule_id="finance.day~shadow", is_shadow=True),
    ),
    _case(
        "a late member",
        State.DEAD,
        "after the batch of date=2026-11-29 of rule finance.day was released, and no run has it",
        "mwaa-gateway dlq redrive --rule finance.day --reason late_member",
        f"{SEND} --rule finance.day",
        lines=(
            MEMBER,
            line("Late", 10.0, rule_id="finance.day", batch_id=BATCH, batch_key="date=2026-11-29"),
        ),
    ),
    _case(
        "a member of a cancelled batch",
        State.BATCH_CANCELLED,
        f"after batch {BATCH} of rule finance.day was cancelled",
        f"{SEND} --rule finance.day",
        lines=(MEMBER, line("Cancelled", 10.0, rule_id="finance.day", batch_id=BATCH)),
    ),
    # --- the rest
    _case(
        "the call of a state that was refused",
        State.DEAD,
        "The gateway refused the state's call 09:57:00 UTC (3 min ago): dag_id is missing.",
        lines=(
            line(
                "Refused",
                message="a state's call is refused, no run is requested: dag_id is missing",
                reason="InvalidCall",
            ),
        ),
    ),
    _case(
        "lines that say nothing of its end",
        State.NOT_KNOWN,
        "the last line about it is StepFailed, 09:57:00 UTC (3 min ago): no answer.",
        f"mwaa-gateway why {URI}",
        lines=(line("StepFailed", message="no answer"),),
    ),
    _case(
        "no line, and the log leaves out the trail",
        State.NOT_KNOWN,
        "LogLevel ERROR leaves out most of the trail",
        "mwaa-gateway status",
        log_level="ERROR",
    ),
]
