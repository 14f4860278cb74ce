"""The fault table: what goes wrong, and what is promised nevertheless.

A test shows a row if its name begins with it (`test_row_6_…`, `test_rows_6_and_22_…`), or if it is marked:
`@pytest.mark.guarantee(6, 22)`. "One run" means: one DAG run for each event and rule target, not none and not two.
"""

from dataclasses import dataclass

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table; its number is permanent."""

    row: int
    stage: str
    fault: str
    promise: str


SOURCE, INGRESS, ROUTING, DISPATCH = "The source", "Ingress", "Routing", "From request to run"
QUEUES, PEOPLE, DATA = "Queues and environments", "Operators and Step Functions", "Data, secrets, deploys"
FEEDS = "Feeds: many events, one run"

FAULTS = (
    Fault(
        1,
        SOURCE,
        "The same event is delivered again: at once, by another route, or 89 days later",
        "One run; the second delivery is reported as a duplicate, with its run",
    ),
    Fault(
        54,
        SOURCE,
        "The notifications of objects never come, `reconcile` starts the objects, and then the notifications do come",
        "One run, or one place in a batch, for each object: at any order of the steps, and wherever one of them ends",
    ),
    Fault(
        2,
        SOURCE,
        "Events arrive out of order; clocks differ by five minutes",
        "One run each; the gateway never compares clocks of different parties",
    ),
    Fault(
        3,
        SOURCE,
        "S3's test event; an unknown minor version, unknown fields",
        "The test event is acknowledged and starts nothing; the others start their run",
    ),
    Fault(
        4,
        SOURCE,
        "A thousand events for one DAG in one second",
        "One run each, although Airflow 2 allows one run per DAG and logical date",
    ),
    Fault(
        33,
        SOURCE,
        "A Step Functions Map of 200 items enters in one millisecond",
        "200 runs; a task that cannot be distinguished from its siblings is refused at once",
    ),
    Fault(
        34,
        SOURCE,
        "An object is written again (with or without versioning, with the same bytes), tagged, restored",
        "Each is a separate event: one run each",
    ),
    Fault(
        35,
        SOURCE,
        "Somebody publishes a forged S3 event through a topic or queue",
        "It stays a notification unless that topic or queue is listed, and never replaces a real upload",
    ),
    Fault(
        5,
        INGRESS,
        "Malformed JSON, a wrong shape, an event that is too large",
        "Moved to the dead-letter queue with the reason after one attempt; its neighbours run",
    ),
    Fault(
        6,
        INGRESS,
        "The process is killed before, during or after sending requests; SQS accepts part of a batch",
        "One run: a request that is sent again finds its ledger row",
    ),
    Fault(
        7,
        INGRESS,
        "Queues refuse messages for longer than Lambda's own retries last",
        "One run, late: the ingress retry queue retries it without help",
    ),
    Fault(
        8,
        ROUTING,
        "DynamoDB does not answer for a quarter of an hour",
        "One run, late; an event never counts as unmatched because rules could not be read",
    ),
    Fault(
        9,
        ROUTING,
        "One broken rule among many",
        "The others start their runs; the event is kept with the id of the broken rule, and an alarm goes off",
    ),
    Fault(
        10,
        ROUTING,
        "A rule is edited, or disabled, while its requests wait",
        "Edited: they run as matched. Disabled: they are held until you release or cancel them",
    ),
    Fault(11, ROUTING, "No rule matches", "Counted as unmatched; nothing runs"),
    Fault(
        12,
        DISPATCH,
        "Several dispatchers process the same request at once",
        "One run: Airflow's unique run_id decides, and all record the same outcome in the ledger",
    ),
    Fault(
        13,
        DISPATCH,
        "A ledger write times out although DynamoDB applied it",
        "The attempt recognises its own write; no further attempt",
    ),
    Fault(
        14,
        DISPATCH,
        "No CLI token: throttled, unreachable, or the permission is missing",
        "Retried; without the permission an alarm goes off within the hour, and at its maximum age the request is dead "
        "with the missing permission as the reason",
    ),
    Fault(
        15,
        DISPATCH,
        "The web server refuses the token",
        "The dispatcher requests a new token once, then retries later; no extra run",
    ),
    Fault(
        16,
        DISPATCH,
        "The web server is not in DNS, refuses connections, has an expired certificate, speaks no TLS",
        "One run once it is fixed; the reason says which of these it is",
    ),
    Fault(
        17,
        DISPATCH,
        "The response is lost after the command was sent: reset, timeout, 502, 504, applied or not",
        "The dispatcher looks the run up before it does anything else: one run",
    ),
    Fault(
        18,
        DISPATCH,
        "The response is truncated, garbled or unknown",
        "No success without evidence of our run_id",
    ),
    Fault(
        19,
        DISPATCH,
        "“Already exists”, because of our own run or another run's logical date",
        "The first is success, the second is retried: one run in both cases",
    ),
    Fault(
        20,
        DISPATCH,
        "Airflow does not know the DAG, or refuses conf or run_id",
        "The gateway waits 15 minutes for a missing DAG, with one probe at a time; a refused request is dead at once with "
        "Airflow's message",
    ),
    Fault(
        22,
        DISPATCH,
        "The process is killed in any call, and in any two calls",
        "One run, and nothing left over: tests try every point and every pair",
    ),
    Fault(
        23,
        DISPATCH,
        "A stalled attempt continues after another took over",
        "It cannot change the ledger",
    ),
    Fault(
        36,
        DISPATCH,
        "The outcome is unknown, and the rule meanwhile changes to another DAG or environment",
        "The first attempt's target stays: one run, not one in each",
    ),
    Fault(
        51,
        DISPATCH,
        "Over a web login: the session is refused or ends, the login's form changed, Airflow itself answers 429 or 5xx",
        "A new login, once; otherwise the fallback transport, or the request waits: one run",
    ),
    Fault(
        41,
        DISPATCH,
        "InvokeRestApi: 409 by run_id or by date, ten seconds of silence, throttling, 500 for a bad run_id, a path that is "
        "too long; the transport is switched",
        "As over CLI tokens: one run, or dead with the true reason",
    ),
    Fault(
        21,
        QUEUES,
        "An environment is updated for 40 minutes, or unavailable for 12 hours or five days",
        "No request dies. One request probes it; the first run starts within a minute of its return, full rate within two. "
        "Other environments are not affected",
    ),
    Fault(
        52,
        QUEUES,
        "Up to 60 % of all answers lost, garbled or an error, for any time; then, or after any outage, all is well again",
        "At least 80 % of the slots' time goes to commands while anything waits; full speed 15 seconds after the end of the "
        "trouble, the last run within a minute of what an oracle needs that knows the faults",
    ),
    Fault(24, QUEUES, "A message is not deleted, or the batch's response is lost", "A duplicate: one run"),
    Fault(
        25,
        QUEUES,
        "A message that is not a request; a message that kills its process",
        "The first is kept unchanged; the second is dead after five attempts without an outcome; others run without delay",
    ),
    Fault(
        39,
        QUEUES,
        "A burst of one rule, while other rules have few events",
        "The burst drains as fast as the slots allow, MWAA refuses no request of ours, and the others' events are "
        "dispatched within twice the time they take on a quiet day",
    ),
    Fault(
        40,
        QUEUES,
        "A request waits for a slot longer than its maximum age",
        "It does not die: only the time since its first attempt counts",
    ),
    Fault(
        37,
        QUEUES,
        "Airflow accepts a run that it will not execute: the DAG is paused, stale or broken",
        "Reported as not runnable, and `when_paused` is followed",
    ),
    Fault(
        53,
        QUEUES,
        "Lambda's recursive-loop detection: a request that is resent for days, a watcher that runs for days",
        "Rounds form no chain of events, and the next one replaces a lost one within a minute; a request waits for 14 days, "
        "or, if the account forbids loops, becomes a dead letter after eight",
    ),
    Fault(
        47,
        FEEDS,
        "A member comes twice, late, under a changed key, or while its batch is released; two releasers have one batch; a "
        "crash at any step; a head expires",
        "Each event is in exactly one batch of its rule, and each batch is one run for each target",
    ),
    Fault(
        48,
        FEEDS,
        "A marker arrives before its members, twice, or after its batch; another key's marker",
        "Completeness counts what is there; a second marker opens no batch",
    ),
    Fault(
        49,
        FEEDS,
        "A due time passes in an outage, in a redeploy, on the two odd days of a year, or on a day on which nothing arrives",
        "The batch is reported as overdue, with what is missing, and released or cancelled as its rule says",
    ),
    Fault(
        50,
        FEEDS,
        "200 members a second into one batch; 10,000 open batches; a batch of 100,000",
        "No item is written more than five times a second, no member is lost, the batch is released within its bound",
    ),
    Fault(
        26,
        PEOPLE,
        "A dead letter is redriven twice, days later, or while the original is in flight",
        "One run, with a fresh age",
    ),
    Fault(38, PEOPLE, "A deliberate rerun, repeated", "Exactly one more run for each event"),
    Fault(
        27,
        PEOPLE,
        "A task's success is sent twice, after its timeout, or to an execution that has ended",
        "The first one counts; the others change nothing, and no loop starts",
    ),
    Fault(
        28,
        PEOPLE,
        "Step Functions retries the state with a new token",
        "The state attaches to the same run; the newest token gets one answer",
    ),
    Fault(
        43,
        PEOPLE,
        "A waiting state cannot be answered: its KMS key refuses, an unknown error code, an unreadable item",
        "Every other state gets its answer in the same round; this one is reported, alarmed, retried, given up after a day",
    ),
    Fault(
        42,
        PEOPLE,
        "An execution with `fail_run` has ended, and the run ends itself, the web server is unavailable, the "
        "request is still in flight, or the watcher is killed",
        "The run is marked failed if it has not ended; a finished run never changes; every failure is reported",
    ),
    Fault(
        29,
        DATA,
        "Quotes, newlines, `;$(rm)`, options, NUL, 300 characters, other alphabets in keys and subjects",
        "They are literal data in the conf, or refused; never a second word of a command",
    ),
    Fault(
        30,
        DATA,
        "The run is purged in Airflow, and the event redelivered",
        "The ledger still has it: no second run",
    ),
    Fault(
        31,
        DATA,
        "A deploy with messages waiting and requests open, unknown and dead",
        "One run each: each version reads what the other writes",
    ),
    Fault(
        46,
        DATA,
        "A first deployment fails; a parameter changes, an environment or the stack is removed, with requests in flight",
        "Clean rollback; no request, dead letter or task token is lost, or `environments drain` first lists what would be",
    ),
    Fault(
        32,
        DATA,
        "Any of these with full logging",
        "No CLI token, web login or Authorization header in any log, message, metric, table row or exception",
    ),
    Fault(
        44,
        DATA,
        "Any AWS call of any function: every error code, a time-out before or after it was done, a partial success",
        "Other work proceeds; nothing is lost or doubled once the error ends; meanwhile an alarm goes off",
    ),
    Fault(
        45,
        DATA,
        "EventBridge, SNS or Lambda gives up a delivery, and the key or permission that stopped it still fails",
        "The event waits in a queue that does not depend on that key or permission; if that fails too, an alarm goes off",
    ),
)
