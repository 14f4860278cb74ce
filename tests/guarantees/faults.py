"""The fault table: what goes wrong, and what is promised all the same.

A test shows a row when its name begins with it (`test_row_6_…`, `test_rows_6_and_22_…`), or when it is marked:
`@pytest.mark.guarantee(6, 22)`. "One run" means: one DAG run for each event and rule target, not none and not two.
"""

from dataclasses import dataclass

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table; its number is its name, and is never given to another."""

    row: int
    stage: str
    fault: str
    promise: str


SOURCE, INGRESS, ROUTING, DISPATCH = "The source", "Ingress", "Routing", "From request to run"
QUEUES, PEOPLE, DATA = "Queues and environments", "Operators and Step Functions", "Data, secrets, deploys"

FAULTS = (
    Fault(
        1,
        SOURCE,
        "The same event is delivered again: at once, by another route, or 89 days later",
        "One run; the second delivery is told which run it is a duplicate of",
    ),
    Fault(
        2,
        SOURCE,
        "Events overtake each other; clocks differ by five minutes",
        "One run each; no two parties' clocks are compared",
    ),
    Fault(
        3,
        SOURCE,
        "S3's test event; an unknown minor version, fields nobody knows",
        "The one is acknowledged and becomes nothing, the others become their run",
    ),
    Fault(
        4,
        SOURCE,
        "A thousand events for one DAG in one second",
        "One run each, though Airflow 2 has one run per DAG and logical date",
    ),
    Fault(
        33,
        SOURCE,
        "A Step Functions Map of 200 items enters in one millisecond",
        "200 runs; a task that cannot be told from its siblings is refused at once",
    ),
    Fault(
        34,
        SOURCE,
        "An object is written again (with or without versioning, with the same bytes), tagged, restored",
        "Each is an event of its own: one run each",
    ),
    Fault(
        35,
        SOURCE,
        "Somebody publishes a forged S3 event through a topic or queue",
        "It stays a notification, unless that topic is listed, and takes no real upload's place",
    ),
    Fault(
        5,
        INGRESS,
        "Malformed JSON, a wrong shape, an event that is too large",
        "In the dead-letter queue with the reason after one attempt; its neighbours run",
    ),
    Fault(
        6,
        INGRESS,
        "Killed before, during or after the requests are sent; a batch that SQS takes in part",
        "One run: what is sent again finds its ledger row",
    ),
    Fault(
        7,
        INGRESS,
        "Queues refuse for longer than Lambda's own retries last",
        "One run, late: the ingress retry queue works it off without anybody",
    ),
    Fault(
        8,
        ROUTING,
        "DynamoDB does not answer for a quarter of an hour",
        "One run, late; an event is never taken for unmatched because rules could not be read",
    ),
    Fault(
        9,
        ROUTING,
        "One broken rule among many",
        "The others fire; the event is kept with the name of the bad rule, and an alarm rings",
    ),
    Fault(
        10,
        ROUTING,
        "A rule is edited, or disabled, while its requests wait",
        "Edited: they run as they were matched. Disabled: they are held, and released or cancelled by command",
    ),
    Fault(11, ROUTING, "No rule matches", "Counted as unmatched; nothing runs"),
    Fault(
        12,
        DISPATCH,
        "Several dispatchers work on the same request at once",
        "One run: Airflow's unique run_id decides, and the ledger ends the same for all",
    ),
    Fault(
        13,
        DISPATCH,
        "A ledger write times out and was applied",
        "Recognised as one's own; no further round",
    ),
    Fault(
        14,
        DISPATCH,
        "No CLI token: throttled, unreachable, or the permission is gone",
        "Tried again; with the permission gone an alarm rings within the hour, and at its maximum age the request is dead "
        "with the permission that is missing",
    ),
    Fault(
        15, DISPATCH, "The web server refuses the token", "A new one, once, then later; it costs no extra run"
    ),
    Fault(
        16,
        DISPATCH,
        "The web server is not in DNS, refuses connections, has an expired certificate, speaks no TLS",
        "One run when it is mended; the reason says which of them it is",
    ),
    Fault(
        17,
        DISPATCH,
        "The answer is lost after the command went out: reset, timeout, 502, 504, applied or not",
        "Looked up before anything else is tried: one run",
    ),
    Fault(
        18,
        DISPATCH,
        "The answer is cut, garbled, or a text nobody knows",
        "Never success without evidence of our run_id",
    ),
    Fault(
        19,
        DISPATCH,
        "“Already exists”: our own run, or another one's logical date",
        "The one is success, the other is tried again: one run in both",
    ),
    Fault(
        20,
        DISPATCH,
        "Airflow does not know the DAG, or refuses conf or run_id",
        "A missing DAG has a quarter of an hour to appear, asked for by one probe; what is refused is dead at once with "
        "Airflow's words",
    ),
    Fault(
        22,
        DISPATCH,
        "The process is killed in any call it makes, and in any two of them",
        "One run, and nothing left behind: every point and every pair is tried",
    ),
    Fault(
        23,
        DISPATCH,
        "An attempt comes back to life after another took over",
        "It cannot change the ledger any more",
    ),
    Fault(
        36,
        DISPATCH,
        "The outcome is unknown, and the rule is moved to another DAG or environment meanwhile",
        "The first attempt's target is followed: one run, not one in each",
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
        "An environment is updated for 40 minutes, or away for 12 hours, or for five days",
        "Nothing dies; one probe asks; the first run within a minute of its return, the full rate within two; other "
        "environments notice nothing",
    ),
    Fault(24, QUEUES, "A message is not deleted, or the batch's answer is lost", "A duplicate: one run"),
    Fault(
        25,
        QUEUES,
        "A message that is no request; a message that kills its process",
        "Kept as it came; dead after five attempts without an outcome; the others run without delay",
    ),
    Fault(
        39,
        QUEUES,
        "One rule's storm, while others trickle",
        "The storm drains as fast as the slots allow, nothing of ours is refused, and the others' events are dispatched "
        "within twice the time they take on a quiet day",
    ),
    Fault(
        40,
        QUEUES,
        "Waiting for a slot longer than an event may grow old",
        "Nothing dies: only the time in which it is tried counts",
    ),
    Fault(
        37,
        QUEUES,
        "Airflow accepts a run that it will not execute: the DAG is paused, stale or broken",
        "Told as such, and `when_paused` is obeyed",
    ),
    Fault(
        53,
        QUEUES,
        "Lambda's recursive-loop detection: a request that is sent anew for days, a watcher that makes rounds for days",
        "Rounds form no chain of events, and a lost one is made up for within a minute; a request waits for 14 days, or, "
        "where the account forbids loops, is dead-lettered after eight",
    ),
    Fault(
        26,
        PEOPLE,
        "A dead letter is redriven twice, days later, or while the original is in flight",
        "One run, with a fresh age",
    ),
    Fault(38, PEOPLE, "A deliberate rerun, given twice", "Exactly one further run for each event"),
    Fault(
        27,
        PEOPLE,
        "A task's success is sent twice, after its timeout, or to an execution that is gone",
        "The first wins; then nothing, and no loop",
    ),
    Fault(
        28,
        PEOPLE,
        "Step Functions retries the state with a new token",
        "The same run is re-attached; the newest token is answered once",
    ),
    Fault(
        43,
        PEOPLE,
        "A state that waits cannot be answered: its KMS key refuses, an unknown error code, an item nobody can read",
        "Every other state is answered in the same round; this one is reported, alarmed, tried again, given up after a day",
    ),
    Fault(
        42,
        PEOPLE,
        "An execution is over whose run is to end with it, while the run ends by itself, the web server is away, the "
        "request is still on its way, or the watcher dies",
        "The run is marked failed if it goes on; one that is over is never changed; what could not be done is told",
    ),
    Fault(
        29,
        DATA,
        "Quotes, newlines, `;$(rm)`, options, NUL, 300 characters, other alphabets in keys and subjects",
        "Literal data in the conf, or refused; never a second word of a command",
    ),
    Fault(
        30,
        DATA,
        "The run is purged in Airflow, and the event delivered again",
        "The ledger remembers: no second run",
    ),
    Fault(
        31,
        DATA,
        "A deploy with messages waiting and requests open, in doubt and dead",
        "One run each: what the version before wrote is read, and what this one writes can be read by it",
    ),
    Fault(
        46,
        DATA,
        "A first deployment fails; a parameter changes, an environment or the stack is removed, with requests in flight",
        "Clean rollback; no request, dead letter or sealed token is lost, or `environments drain` says first what would be",
    ),
    Fault(
        32,
        DATA,
        "Any of these with everything logged",
        "No CLI token, web login or Authorization header in any log, message, metric, table row or exception",
    ),
    Fault(
        44,
        DATA,
        "Any AWS call of any function: every error code, a time-out before or after it was done, a partial success",
        "Other work proceeds; nothing is lost or doubled once it ends; meanwhile an alarm rings",
    ),
    Fault(
        45,
        DATA,
        "EventBridge, SNS or Lambda gives up a delivery; the key or permission that stopped it still fails",
        "The event waits in a queue that does not depend on that key or permission; if that fails too, an alarm says so",
    ),
)
