"""The fault matrix, row by row: each test is named after its row and has that fault many times over."""

import io
import json
import random
import re
import zlib
from collections import Counter
from datetime import UTC, datetime

import pytest

from mwaa_gateway import backoff, observability
from mwaa_gateway.aws.sqs import trigger_messages
from mwaa_gateway.outcomes import Reason
from simulation.checker import Bounds
from simulation.mwaa import CANARY
from simulation.operator_commands import Operator
from simulation.scenario import AIRFLOW_2, AIRFLOW_3, ANY, NO_TROUBLE, Scenario
from simulation.sqs import Message
from simulation.workload import (
    BUCKET,
    HOSTILE,
    ORDERS_IN_ANALYTICS,
    RULES,
    TOPIC,
    UNWRAPPED_TOPIC,
    a_notification,
    an_event,
    an_upload,
    orders_when_paused,
    sequencer,
    the_same_upload_through_eventbridge,
)
from simulation.world import START, Outage, Rates

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
both_majors = pytest.mark.parametrize("version", [AIRFLOW_2, AIRFLOW_3])
each_way = pytest.mark.parametrize("transport", ["cli", "rest", "web"])


def dead_letters(scenario: Scenario, queue: str) -> list[dict]:
    return [json.loads(message.body) for message in scenario.gateway.queues[queue].messages.values()]


def rows(scenario: Scenario) -> list[dict]:
    return [item for item in scenario.gateway.ledger.items.values() if "state" in item]


def reported(scenario: Scenario) -> set[tuple[str, str]]:
    """(run_id, why) of each run that was reported as not starting."""
    return set(scenario.gateway.not_runnable)


# --- the source ------------------------------------------------------------------------------------------------


def test_row_1_a_duplicate_within_the_ledgers_90_days_is_no_second_run() -> None:
    """At once, an hour, a month and 89 days later; Airflow has purged its runs in between."""
    scenario = Scenario()
    for n in range(1, 21):
        scenario.upload(n, at=n, again_at=(n + 30, HOUR, 30 * DAY, 89 * DAY))
    scenario.at(40 * DAY, scenario.gateway.airflows["legacy"].purge)
    assert [] == scenario.play(NO_TROUBLE).problems


def test_row_1_rows_of_the_ledger_live_as_long_as_promised() -> None:
    """No row expires before 90 days."""
    scenario = Scenario()
    scenario.upload()
    scenario.play()
    [row] = [item for item in scenario.gateway.ledger.items.values() if "state" in item]
    assert int(row["expires_at"]["N"]) >= float(row["first_attempt_at"]["N"]) + 90 * DAY - 1


def test_row_2_order_and_clocks_do_not_matter() -> None:
    """Hours of reordering, and sandboxes whose clocks are five minutes ahead or behind."""
    scenario = Scenario(Rates(reordered=1.0))
    scenario.world.clock_skew = 300.0
    shuffled = random.Random(2)
    for n in range(1, 201):
        scenario.upload(n, at=shuffled.random() * HOUR, again_at=(shuffled.random() * HOUR,))
    assert [] == scenario.play(ANY).problems


def test_row_3_a_test_event_an_unknown_version_and_extra_fields() -> None:
    """The test event becomes nothing; a newer minor version with fields nobody knows becomes a run."""
    scenario = Scenario()
    scenario.send("s3_events", {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET})
    scenario.upload(1)
    newer = an_upload(2, "orders/2.csv")
    newer["Records"][0] |= {"eventVersion": "2.9", "somethingNew": {"a": 1}}
    scenario.expect_upload(2, "orders/2.csv")
    scenario.send("s3_events", newer)
    assert [] == scenario.play(NO_TROUBLE).problems


@each_way
@both_majors
def test_row_4_a_thousand_events_of_one_second_are_a_thousand_runs(version: str, transport: str) -> None:
    """Airflow 2 has one run per DAG and logical date; still one run each, with one command each."""
    scenario = Scenario(version=version, transport=transport)
    for n in range(1, 1001):
        scenario.upload(n, at=n / 1000)
    # Over REST each new sandbox finds out once that Airflow 3 wants a logical date.
    verdict = scenario.play(Bounds(1.05, 1.0, longest_delay=2.2 * 1000 / 3))
    assert [] == verdict.problems
    assert 1000 == verdict.created


# --- ingress ---------------------------------------------------------------------------------------------------


def test_row_5_a_malformed_record_is_kept_at_once_and_stops_no_other() -> None:
    """One attempt, not three, and the reason beside it."""
    scenario = Scenario()
    payload = an_upload(1, "orders/1.csv")
    broken = json.loads(json.dumps(payload["Records"][0]))
    del broken["s3"]["object"]["key"]
    payload["Records"] = [payload["Records"][0], broken, an_upload(2, "orders/2.csv")["Records"][0]]
    scenario.expect_upload(1, "orders/1.csv")
    scenario.expect_upload(2, "orders/2.csv")
    scenario.expected.dead_at_ingress["malformed_event"] = 1
    scenario.send("s3_events", payload)
    assert [] == scenario.play(NO_TROUBLE).problems
    [dead_letter] = dead_letters(scenario, "ingress-dlq")
    assert "key" in dead_letter["reason_text"]


def test_row_6_a_partly_failed_batch_is_sent_until_all_of_it_is_there() -> None:
    """Half of the entries of every batch are refused, a tenth of the answers lost."""
    scenario = Scenario(Rates(queue_failed=0.5, answer_lost=0.1))
    for n in range(1, 101):
        scenario.close(n, at=n)
    assert [] == scenario.play().problems


@pytest.mark.parametrize("service", ["dynamodb", "sqs"])
def test_rows_7_and_8_an_outage_of_a_quarter_of_an_hour(service: str) -> None:
    """Later than Lambda's own retries: late, but never lost, and never taken for "no rule matches"."""
    scenario = Scenario(outages=(Outage(service, MINUTE, 16 * MINUTE),))
    for n in range(1, 101):
        scenario.upload(n, at=n * 10)
    verdict = scenario.play()
    assert [] == verdict.problems
    assert 100 == verdict.created


# --- routing ---------------------------------------------------------------------------------------------------


def test_row_9_one_bad_rule_stops_no_other() -> None:
    """The others fire, and the dead letter names the bad one."""
    scenario = Scenario()
    bad = RULES["sales.orders"] | {
        "id": "sales.bad",
        "targets": [{"id": "default", "environment": "nowhere"}],
    }
    scenario.gateway.put_rule(bad)
    scenario.upload()
    scenario.expected.dead_at_ingress["broken_rule"] = 1
    assert [] == scenario.play(NO_TROUBLE).problems
    [dead_letter] = dead_letters(scenario, "ingress-dlq")
    assert "sales.bad" == dead_letter["rule_id"]


def test_row_10_a_rule_edited_while_its_requests_wait() -> None:
    """They run as they were matched."""
    scenario = Scenario()
    for n in range(1, 31):
        scenario.upload(n)
    scenario.at(5.0, lambda: scenario.gateway.put_rule(ORDERS_IN_ANALYTICS, version=2))
    assert [] == scenario.play(Bounds(1.0, 1.0, 60.0)).problems


def release(scenario: Scenario) -> None:
    """What `held release` sends, given twice."""
    for item in list(scenario.gateway.ledger.items.values()):
        if item.get("state") == {"S": "held"}:
            request = json.loads(zlib.decompress(item["request_body"]["B"]))
            number = int(item["redrives"]["N"]) + 1
            for _ in range(2):
                scenario.gateway.queues["trigger-legacy"].send(json.dumps(request | {"redrive": number}))


def states(scenario: Scenario) -> Counter[str]:
    return Counter(item["state"]["S"] for item in scenario.gateway.ledger.items.values() if "state" in item)


def test_row_10_a_rule_disabled_while_its_requests_wait() -> None:
    """Held within ten seconds and not run; let go of and released twice two days later, each runs once."""
    scenario = Scenario()
    for n in range(1, 301):
        scenario.upload(n)
    seen: list[Counter[str]] = []
    scenario.at(60.0, lambda: scenario.pause("sales.orders", paused=True))
    for at in (70.0, 2 * DAY - 1):
        scenario.at(at, lambda: seen.append(states(scenario)))
    scenario.at(2 * DAY, lambda: scenario.pause("sales.orders", paused=False))
    scenario.at(2 * DAY, lambda: release(scenario))
    scenario.at(3 * DAY, lambda: release(scenario))
    # Two messages of one release may overlap: then the second looks the run up.
    verdict = scenario.play(Bounds(1.1, 1.2, 3 * DAY))
    assert [] == verdict.problems
    assert seen[0] == seen[1]  # ten seconds after the pause nothing more is started
    assert {"held", "triggered"} == seen[0].keys()
    assert seen[0]["held"] > 150


def test_row_10_a_brake_pulled_and_let_go_of_under_every_fault() -> None:
    """Again and again while requests run, crash, lose their answers and come twice: one run each, none left held."""
    scenario = Scenario(Rates.of_the_promise())
    for n in range(1, 201):
        scenario.upload(n, at=n * 5)
    for n in range(0, 2_000, 100):
        scenario.at(n, lambda: scenario.pause("sales.orders", paused=True))
        scenario.at(n + 40, lambda: scenario.pause("sales.orders", paused=False))
        scenario.at(n + 41, lambda: release(scenario))
    scenario.at(DAY, lambda: release(scenario))  # what a rival's late write held after all
    assert [] == scenario.play().problems


def test_row_11_an_event_without_a_rule_becomes_nothing() -> None:
    """No run, no dead letter."""
    scenario = Scenario()
    scenario.send("eventbridge_events", an_event("u-1", "acme.other", "Unheard Of", {}))
    assert [] == scenario.play(NO_TROUBLE).problems
    assert [] == scenario.runs


# --- dispatch --------------------------------------------------------------------------------------------------


@each_way
@both_majors
def test_row_12_the_same_request_dispatched_several_times_at_once(version: str, transport: str) -> None:
    """Airflow's unique run_id decides, and the ledger ends the same for all."""
    scenario = Scenario(Rates(delivered_twice=1.0), version=version, transport=transport)
    for n in range(1, 31):
        scenario.upload(n, at=60 * n, again_at=(60 * n, 60 * n + 0.1, 60 * n + 2.0))
    assert [] == scenario.play().problems


def test_row_13_a_write_that_timed_out_and_was_applied_is_recognised() -> None:
    """Half of DynamoDB's answers are lost after the write; nobody waits another round for it."""
    scenario = Scenario(Rates(answer_lost=0.3))
    for n in range(1, 101):
        scenario.upload(n, at=60 * n)
    assert (
        []
        == scenario.play(
            Bounds(commands_per_run=1.5, deliveries_per_request=2.0, longest_delay=2000)
        ).problems
    )


@pytest.mark.parametrize("minutes", [5, 90])
def test_row_14_no_token_is_to_be_had(minutes: int) -> None:
    """CreateCliToken fails: everything waits, and runs when it is back."""
    scenario = Scenario(outages=(Outage("mwaa legacy", 0, minutes * MINUTE),))
    for n in range(1, 51):
        scenario.upload(n, at=n)
    assert [] == scenario.play(Bounds(1.0, 300.0, longest_delay=minutes * MINUTE + 300)).problems


def test_row_14_the_role_may_not_have_a_token() -> None:
    """No passing trouble: dead when it is too old, with the permission that is missing; and the alarm rang long before."""
    scenario = Scenario(settings={"maximum_event_age_seconds": 1800})
    scenario.gateway.mwaa.denied.add("legacy")
    for n in range(1, 11):
        scenario.upload(n, at=n)
        scenario.expected.dead[n, "sales.orders", "default"] = Reason.TOO_OLD
    scenario.expected.runs.clear()
    assert [] == scenario.play().problems
    for dead_letter in dead_letters(scenario, "trigger-dlq-legacy"):
        assert "AccessDeniedException" in dead_letter["reason_text"]
        assert "needs airflow:CreateCliToken" in dead_letter["reason_text"]
    # What the alarm AirflowNotReached counts, in each quarter of an hour.
    asked = [at for at, outcome in scenario.gateway.counted if outcome == "Retryable"]
    assert {0, 1} <= {int(at - scenario.world.start) // 900 for at in asked}


def test_row_14_the_role_is_mended_in_time() -> None:
    """Then all of them run."""
    scenario = Scenario()
    scenario.gateway.mwaa.denied.add("legacy")
    scenario.at(2 * HOUR, scenario.gateway.mwaa.denied.clear)
    for n in range(1, 11):
        scenario.upload(n, at=n)
    assert [] == scenario.play(Bounds(1.0, 300.0, longest_delay=2 * HOUR + 1200)).problems


@both_majors
def test_row_15_a_token_that_is_refused(version: str) -> None:
    """Half of the tokens are refused at the web server: a new one, once, then later."""
    scenario = Scenario(Rates(token_refused=0.5), version=version)
    for n in range(1, 101):
        scenario.upload(n, at=n)
    assert [] == scenario.play(Bounds(1.0, 15.0, longest_delay=HOUR)).problems


def test_row_15_a_token_is_renewed_before_it_is_too_old() -> None:
    """One token a minute, not one a run, and none that the web server refuses."""
    scenario = Scenario()
    for n in range(1, 121):
        scenario.upload(n, at=10 * n)
    assert [] == scenario.play(NO_TROUBLE).problems
    server = scenario.gateway.servers["legacy"]
    assert 0 == server.refused_tokens
    assert len(server.tokens) <= 1200 / 45 + 2


@each_way
@both_majors
@pytest.mark.parametrize(
    "rates",
    [
        pytest.param(Rates(response_lost=0.6), id="lost after applying"),
        pytest.param(Rates(web_server_error=0.6), id="502 and 504, applied or not"),
        pytest.param(Rates(slow_command=0.3), id="read timeout, applied later"),
        pytest.param(Rates(garbled=0.6), id="row 18: cut, garbled or unknown text"),
    ],
)
def test_rows_17_and_18_an_answer_that_says_nothing(rates: Rates, version: str, transport: str) -> None:
    """Never success without evidence of our run, never a second run."""
    scenario = Scenario(rates, version=version, transport=transport)
    for n in range(1, 201):
        scenario.upload(n, at=n)
    assert [] == scenario.play(Bounds(5.0, 45.0, longest_delay=4 * HOUR)).problems


def test_row_16_the_web_server_cannot_be_reached() -> None:
    """Ten minutes without DNS, connection, TLS or service: the reason names each, and everything runs."""
    scenario = Scenario(outages=(Outage("web server legacy", 0, 10 * MINUTE),))
    for n in range(1, 51):
        scenario.upload(n, at=n)
    assert [] == scenario.play(Bounds(1.2, 40.0, longest_delay=15 * MINUTE)).problems
    reported = " ".join(scenario.watch.texts)
    for cause in ("not in DNS", "was refused", "is not trusted", "no connection within", "HTTP 503"):
        assert cause in reported


@each_way
@pytest.mark.parametrize("lost", [0.0, 0.5])
def test_row_19_already_exists_is_success_only_for_our_run(lost: float, transport: str) -> None:
    """Somebody else's runs take logical dates and print our run_id; ours are there in the end."""
    scenario = Scenario(Rates(response_lost=lost), transport=transport)
    airflow = scenario.gateway.airflows["legacy"]
    airflow.date_taken = lambda: scenario.world.random.random() < 0.4
    for n in range(1, 101):
        scenario.upload(n, at=n)
    # Over REST a look-up is two calls, each made again if it says nothing.
    assert [] == scenario.play(Bounds(7.0, 30.0, longest_delay=4 * HOUR)).problems


@each_way
@both_majors
@pytest.mark.parametrize("without_tasks", [False, True])
def test_row_19_a_logical_date_is_one_runs(version: str, transport: str, *, without_tasks: bool) -> None:
    """Answers are lost and requests come twice: our own run of a date is found, and another event of it is dead."""
    rates = Rates(response_lost=0.3, slow_command=0.05, delivered_twice=0.1, killed=0.02)
    scenario = Scenario(rates, version=version, transport=transport)
    if without_tasks:
        scenario.gateway.airflows["legacy"].without_tasks = frozenset({"ingest_orders"})
    orders = RULES["sales.orders"]
    dated = {**orders["targets"][0], "logical_date": "<date>"}
    captures = {"detail.object.key": "orders/{date}/{file}"}
    scenario.gateway.put_rule(orders | {"captures": captures, "targets": [dated]})
    for n in range(1, 41):
        date = f"2026-01-{n:02}" if n <= 31 else f"2026-02-{n - 31:02}T06:00+01:00"
        scenario.upload(n, at=n, key=f"orders/{date}/{n}.csv", again_at=(n + 30,))
        other = n + 100  # of the same date, when the first one has long had its run
        scenario.upload(other, at=DAY + n, key=f"orders/{date}/{other}.csv")
        del scenario.expected.runs[other, "sales.orders", "default"]
        scenario.expected.dead[other, "sales.orders", "default"] = Reason.LOGICAL_DATE_TAKEN
    assert [] == scenario.play(Bounds(20.0, 40.0, longest_delay=4 * HOUR)).problems


@each_way
def test_row_20_a_missing_dag_has_a_quarter_of_an_hour(transport: str) -> None:
    """Dead after that, with Airflow's words, the DAG's name and why its file does not import; few reads find that out."""
    scenario = Scenario(transport=transport)
    airflow = scenario.gateway.airflows["legacy"]
    airflow.dags.clear()
    airflow.import_errors["/usr/local/airflow/dags/ingest_orders.py"] = (
        "Traceback (most recent call last):\nModuleNotFoundError: No module named 'orders'\n"
    )
    for n in range(1, 21):
        scenario.upload(n, at=n)
        scenario.expected.dead[n, "sales.orders", "default"] = Reason.DAG_MISSING
    scenario.expected.runs.clear()
    verdict = scenario.play()
    assert [] == verdict.problems
    texts = [dead_letter["reason_text"] for dead_letter in dead_letters(scenario, "trigger-dlq-legacy")]
    assert all("ingest_orders.py: ModuleNotFoundError: No module named 'orders'" in text for text in texts)
    server = scenario.gateway.servers["legacy"]
    assert server.commands.total() < 100
    # Each of two sandboxes, once every five minutes of half an hour at most.
    assert 1 <= server.import_error_reads <= 12


def test_row_20_a_dag_that_is_deployed_after_its_events() -> None:
    """Ten minutes late: all of them run."""
    scenario = Scenario()
    dags = scenario.gateway.airflows["legacy"].dags
    dags.remove("ingest_orders")
    scenario.at(10 * MINUTE, lambda: dags.add("ingest_orders"))
    for n in range(1, 21):
        scenario.upload(n, at=n)
    assert [] == scenario.play(Bounds(10.0, 100.0, longest_delay=15 * MINUTE)).problems


def test_row_20_a_conf_that_is_refused_is_dead_at_once() -> None:
    """Not after a grace."""
    scenario = Scenario()
    scenario.gateway.put_rule(RULES["lab.large"])
    large = an_event("l-1", "acme.lab", "Large", {"n": sequencer(1), "text": "x" * 40_000})
    scenario.send("eventbridge_events", large)
    scenario.expected.dead_at_ingress["conf_too_large"] = 1
    assert [] == scenario.play(NO_TROUBLE).problems


@pytest.mark.parametrize(
    ("service", "minutes", "events"),
    [
        ("mwaa legacy", 40, 200),
        ("web server legacy", 40, 200),
        pytest.param("mwaa legacy", 720, 40, marks=pytest.mark.full),
        pytest.param("web server legacy", 720, 60, marks=pytest.mark.full),
    ],
)
def test_row_21_an_environment_that_is_away(service: str, minutes: int, events: int) -> None:
    """Nobody dead, the first run a minute after it is back, all of them soon, the other environments untouched."""
    scenario = Scenario(outages=(Outage(service, 0, minutes * MINUTE),))
    for n in range(1, events + 1):
        scenario.close(n, at=n * 2)
    for n in range(1, events + 1, 20):
        scenario.at(n * 2, scenario.new_sandboxes)  # know nothing of the breaker, and read it first
    verdict = scenario.play()
    assert [] == verdict.problems
    began = scenario.world.start
    for name in ("analytics", "science"):
        late = [
            run.created_at - began - 2 * n for n, run in enumerate(scenario.gateway.airflows[name].history, 1)
        ]
        assert max(late) < 30
    back = [run.created_at - began - minutes * MINUTE for run in scenario.gateway.airflows["legacy"].history]
    assert 0 < min(back) <= 60
    # Three slots of two seconds each, at full rate two minutes after it is back; who was left in doubt is looked up first.
    commands = scenario.gateway.servers["legacy"].commands.total()
    assert events <= commands <= 2 * events
    assert max(back) <= 2 * MINUTE + 1.1 * commands * 2 / 3


@pytest.mark.parametrize(
    "rates",
    [
        Rates(),
        Rates(killed=0.01, delete_failed=0.03, delivered_twice=0.03, queue_failed=0.05, answer_lost=0.05),
    ],
    ids=["no other fault", "killed and failing in between"],
)
def test_row_21_an_environment_that_is_away_for_days(rates: Rates) -> None:
    """Longer than SQS keeps a message, or delivers it, and than a request is tried: messages are sent anew before that."""
    days, events = 5, 2
    scenario = Scenario(rates, outages=(Outage("mwaa legacy", 0, days * DAY),))
    for n in range(1, events + 1):
        scenario.upload(n, at=n)
    verdict = scenario.play()
    assert [] == verdict.problems
    queue = scenario.gateway.queues["trigger-legacy"]
    assert queue.most_receives <= 950
    # Some twelve hours each, or 20 where one delivery of twenty is killed, and its message away for nine minutes; what is
    # sent twice, or not deleted once it was sent anew, is a duplicate that lives on.
    fewest, most = (9, 12) if rates == Rates() else (4, 40)
    assert fewest * events <= queue.sent - events <= most * events
    back = [run.created_at - scenario.world.start - days * DAY for run in scenario.runs]
    first, last = (60.0, 2 * MINUTE) if rates == Rates() else (10 * MINUTE, 20 * MINUTE)
    assert min(back) <= first
    assert max(back) <= last


def away_for(hours: float, recursive_loop: str) -> tuple[Scenario, list[str]]:
    """One request whose environment is away for so long, and what is not as promised."""
    scenario = Scenario(outages=(Outage("mwaa legacy", 0, hours * HOUR),))
    scenario.gateway.mappings["legacy"].sandboxes.may_loop = recursive_loop == "Allow"
    scenario.upload(1, at=1)
    return scenario, scenario.play(until=14 * DAY).problems


# Receives after which a message is sent anew, and hours: a twentieth of the real ones, and the real ones.
AT_ANY_SIZE = pytest.mark.parametrize(
    ("receives", "hour"), [(45, 1.0), pytest.param(900, 20.0, marks=pytest.mark.full)]
)


@pytest.mark.guarantee(53)
@AT_ANY_SIZE
def test_row_53_a_message_that_waits_for_nearly_a_fortnight_is_no_recursive_loop(
    monkeypatch: pytest.MonkeyPatch, receives: int, hour: float
) -> None:
    """Sent anew twice a day: in time more often than Lambda allows without `RecursiveLoop: Allow`."""
    monkeypatch.setattr(trigger_messages, "LAST_RECEIVE", receives)
    monkeypatch.setattr(backoff, "RECEIVES_TO_SPEND", receives // 6)
    scenario, problems = away_for(14 * hour, "Allow")
    assert [] == problems
    assert 16 < scenario.gateway.mappings["legacy"].sandboxes.longest_chain <= 28
    assert scenario.world.faults["recursive invocation dropped"] == 0


@pytest.mark.guarantee(53)
@AT_ANY_SIZE
def test_row_53_where_the_account_forbids_it_the_message_is_a_dead_letter_after_a_week(
    monkeypatch: pytest.MonkeyPatch, receives: int, hour: float
) -> None:
    """`Terminate`: seven days are no trouble; after eight the request waits for its operator."""
    monkeypatch.setattr(trigger_messages, "LAST_RECEIVE", receives)
    monkeypatch.setattr(backoff, "RECEIVES_TO_SPEND", receives // 6)
    scenario, problems = away_for(8.4 * hour, "Terminate")
    assert [] == problems
    assert scenario.world.faults["recursive invocation dropped"] == 0
    scenario, _ = away_for(12 * hour, "Terminate")
    assert scenario.world.faults["recursive invocation dropped"] == 1
    assert len(scenario.gateway.queues["trigger-dlq-legacy"].messages) == 1
    assert scenario.gateway.mappings["legacy"].sandboxes.longest_chain == 16


def test_row_23_a_late_attempt_cannot_change_what_is_finished() -> None:
    """Attempts that are overtaken while their command takes a minute; finished rows stay as they are."""
    scenario = Scenario(Rates(slow_command=0.5, response_lost=0.3, delivered_twice=0.5))
    for n in range(1, 101):
        scenario.upload(n, at=20 * n, again_at=(20 * n + 10, 20 * n + 25))
    verdict = scenario.play()
    assert [] == verdict.problems
    assert [] == scenario.watch.changed_after_the_end


def test_row_24_a_delete_that_fails_is_a_duplicate() -> None:
    """Delivered again after the visibility timeout, and no second command."""
    scenario = Scenario(Rates(delete_failed=0.7))
    for n in range(1, 101):
        scenario.upload(n, at=10 * n)
    assert [] == scenario.play(Bounds(1.0, 5.0, 10.0)).problems


@each_way
def test_row_25_a_message_that_kills_its_process(transport: str) -> None:
    """Dead after five attempts, with that reason, while all the others run without delay."""
    scenario = Scenario(transport=transport)
    scenario.gateway.airflows["analytics"].dags.add("killer")
    scenario.gateway.servers["analytics"].killers = frozenset({"killer"})
    scenario.gateway.put_rule(RULES["lab.killer"])
    scenario.send("eventbridge_events", an_event("k-1000", "acme.lab", "Killer", {"n": sequencer(1000)}))
    scenario.expected.dead[1000, "lab.killer", "default"] = Reason.CRASHED
    for n in range(1, 10):
        scenario.close(n, at=n * 5)
    verdict = scenario.play(Bounds(1.5, 2.0, 30.0))
    assert [] == verdict.problems
    [dead_letter] = dead_letters(scenario, "trigger-dlq-analytics")
    assert 6 == dead_letter["attempt"]


def test_row_25_who_is_throttled_is_not_taken_for_killed() -> None:
    """Kills make a row of three at most, and every seventh end is refused at first: the fourth attempt's end is recorded."""
    scenario = Scenario(Rates(killed=0.15, throttled=0.6))
    counts: set[int] = set()
    scenario.gateway.ledger.watches.append(
        lambda _key, _old, new: counts.add(int(new.get("unanswered", {"N": "0"})["N"]))
    )
    for n in range(1, 201):
        scenario.upload(n, at=10 * n)
    assert [] == scenario.play().problems
    assert {0, 1, 2, 3, 4} == counts


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', "[]", "\x00", '{"format":1}'])
def test_row_25_a_message_that_is_no_request(text: str) -> None:
    """Kept as it came, at its first delivery, while the others run."""
    scenario = Scenario()
    scenario.at(0, lambda: scenario.gateway.queues["trigger-legacy"].send(text))
    scenario.expected.garbage = 1
    for n in range(1, 10):
        scenario.upload(n)
    assert [] == scenario.play(NO_TROUBLE).problems
    [dead_letter] = dead_letters(scenario, "trigger-dlq-legacy")
    assert text == dead_letter["body"]


def test_row_26_a_dead_letter_redriven_twice_and_again_days_later() -> None:
    """The DAG is deployed after its requests died: one run each, with a fresh age, however often they are redriven."""
    scenario = Scenario(Rates(response_lost=0.2, delivered_twice=0.2))
    dags = scenario.gateway.airflows["legacy"].dags
    dags.remove("ingest_orders")
    for n in range(1, 21):
        scenario.upload(n, at=n)
    queue, dead = scenario.gateway.queues["trigger-legacy"], scenario.gateway.queues["trigger-dlq-legacy"]

    def redrive() -> None:
        for dead_letter in dead_letters(scenario, "trigger-dlq-legacy") or sent:
            sent.append(dead_letter)
            for _ in range(2):
                queue.send(json.dumps(dead_letter["request"] | {"redrive": 1}))
        for message in list(dead.messages.values()):
            dead.delete(message)

    sent: list[dict] = []
    scenario.at(2 * DAY, lambda: dags.add("ingest_orders"))
    scenario.at(2 * DAY + 1, redrive)
    scenario.at(7 * DAY, lambda: [queue.send(json.dumps(it["request"] | {"redrive": 2})) for it in sent])
    assert [] == scenario.play().problems
    assert sent


def test_row_26_what_died_of_old_age_is_redriven_with_a_fresh_one() -> None:
    """A permission was missing for a day, and is for twenty minutes of the thirty that the redriven may be tried."""
    scenario = Scenario(settings={"maximum_event_age_seconds": 1800})
    denied, dead = scenario.gateway.mwaa.denied, scenario.gateway.queues["trigger-dlq-legacy"]
    denied.add("legacy")
    for n in range(1, 11):
        scenario.upload(n, at=n)

    def redrive() -> None:
        for dead_letter in list(dead.messages.values()):
            assert Reason.TOO_OLD == json.loads(dead_letter.body)["reason"]
            request = json.loads(dead_letter.body)["request"] | {"redrive": 1}
            scenario.gateway.queues["trigger-legacy"].send(json.dumps(request))
            dead.delete(dead_letter)

    scenario.at(DAY, redrive)
    scenario.at(DAY + 20 * MINUTE, denied.clear)
    assert [] == scenario.play().problems


@each_way
@both_majors
def test_row_38_a_days_rerun_given_again_and_again_under_every_fault(version: str, transport: str) -> None:
    """By two people, who are cut off half way and do it again: one further run of each of the day's events, and no other."""
    scenario = Scenario(Rates.of_the_promise(), version=version, transport=transport)
    operator, midnight = Operator(scenario.gateway), datetime(2027, 1, 15, tzinfo=UTC).timestamp()
    for n in range(1, 61):
        today = n % 3 > 0
        upload = an_upload(n, f"orders/{n}.csv")
        upload["Records"][0]["eventTime"] = f"2027-01-{15 if today else 14}T23:59:59.000Z"
        scenario.expect_upload(n, f"orders/{n}.csv", at=5 * n)
        scenario.send("s3_events", upload, at=5 * n)
        if today:
            scenario.expect_rerun(n)
            scenario.expect_rerun(n, generation=2)
        scenario.close(1000 + n, at=5 * n)

    def rerun(generation: int) -> None:
        operator.rerun("sales.orders", generation=generation, since=midnight, until=midnight + DAY)

    for generation, day in ((1, 1), (2, 2)):
        for again in range(12):
            for seconds in (0.0, 0.1):
                at = day * DAY + 600 * again + seconds
                scenario.at(at, lambda generation=generation: rerun(generation))
    assert [] == scenario.play().problems
    assert 4 < operator.done < operator.given


# --- data ------------------------------------------------------------------------------------------------------


@each_way
@both_majors
@pytest.mark.parametrize("name", [*HOSTILE, "-" * 200, "\t", "a'b'c", "{}", "[{", "\u2028", "😀"])
def test_row_29_a_hostile_key_arrives_to_the_letter(name: str, version: str, transport: str) -> None:
    """Through the command line and a shell's own way of splitting it."""
    scenario = Scenario(version=version, transport=transport)
    scenario.upload(1, key=f"orders/{name}")
    assert [] == scenario.play(Bounds(2.0, 1.0, 10.0)).problems  # a first call finds out about logical dates
    assert f"orders/{name}" == json.loads(scenario.runs[0].conf)["key"]


@each_way
def test_row_30_a_purged_run_is_not_started_again(transport: str) -> None:
    """Airflow forgets; the ledger does not."""
    scenario = Scenario(Rates(delivered_twice=0.3, delete_failed=0.3), transport=transport)
    for n in range(1, 51):
        scenario.upload(n, at=n, again_at=(2 * DAY + n,))
    scenario.at(DAY, scenario.gateway.airflows["legacy"].purge)
    assert [] == scenario.play().problems


@pytest.mark.parametrize("transport", ["cli", "web/rest"])
def test_row_32_no_token_in_logs_or_messages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """Under every fault, with everything logged: no token and no session leaves the process but to the web server."""
    log = io.StringIO()
    for handler in observability.logger.handlers:
        monkeypatch.setattr(handler, "stream", log)
    monkeypatch.setattr(observability.metrics.provider, "namespace", "MwaaTriggerGateway")
    monkeypatch.setattr(observability.metrics.provider, "service", "gateway")
    scenario = Scenario(Rates.of_the_promise(), transport=transport, logged=True)
    for n in range(1, 31):
        scenario.upload(n, at=n)
    assert [] == scenario.play().problems
    reported = capsys.readouterr()
    assert "run started" in log.getvalue()
    assert "Triggered" in reported.out
    tokens = [token for server in scenario.gateway.servers.values() for token in server.tokens]
    assert tokens
    rows = json.dumps([str(item) for item in scenario.gateway.ledger.items.values()])
    for text in (log.getvalue(), reported.out, reported.err, rows, *scenario.gateway.texts):
        assert CANARY not in text
        # A page that quotes the request is shown without what is secret.
        assert "Authorization" not in text.replace("Authorization: Bearer ***", "")


def test_row_34_overwrites_are_events_of_their_own() -> None:
    """The same key written again, with the same bytes, a hundred times."""
    scenario = Scenario()
    for n in range(1, 101):
        scenario.upload(n, at=n, key="orders/same.csv")
    verdict = scenario.play()
    assert [] == verdict.problems
    assert 100 == verdict.created


def test_rows_1_and_34_an_upload_that_comes_by_three_routes() -> None:
    """Notification, EventBridge, and a notification inside an allowed topic: one upload, one run."""
    scenario = Scenario()
    for n in range(1, 51):
        key = f"orders/a b+{n}.csv"
        scenario.upload(n, at=n, key=key)
        scenario.send("eventbridge_events", the_same_upload_through_eventbridge(n, key), at=n + 0.5)
        scenario.send("sns_events", a_notification(n, UNWRAPPED_TOPIC, an_upload(n, key)), at=n)
    assert [] == scenario.play(Bounds(4.0, 3.0, 120.0)).problems


def test_row_35_a_forged_upload_does_not_take_a_real_ones_place() -> None:
    """It comes first, through a topic that anybody may publish to, and stays a notification."""
    scenario = Scenario()
    for n in range(1, 21):
        key = f"orders/{n}.csv"
        scenario.send("sns_events", a_notification(n, TOPIC, an_upload(n, key)), at=n)
        scenario.upload(n, at=n + 30, key=key)
    assert [] == scenario.play(NO_TROUBLE).problems


def test_row_36_the_first_attempts_target_is_followed() -> None:
    """Unknown outcome in one environment, the rule moved to another, the event delivered again: one run."""
    scenario = Scenario(Rates(response_lost=0.5, web_server_error=0.3, killed=0.1))
    scenario.gateway.airflows["analytics"].dags.add("ingest_orders")
    for n in range(1, 101):
        scenario.upload(n, at=10 * n, again_at=(10 * n + 15, 10 * n + 300))
        scenario.expected.runs[n, "sales.orders", "default"] |= {("analytics", "ingest_orders")}
    for n in range(0, 1000, 40):
        rule = ORDERS_IN_ANALYTICS if n % 80 else RULES["sales.orders"]
        scenario.at(n, lambda rule=rule, n=n: scenario.gateway.put_rule(rule, version=2 + n))
    assert [] == scenario.play().problems


PER_TRANSPORT = each_way


@both_majors
@PER_TRANSPORT
def test_row_37_runs_of_a_paused_dag_are_told(version: str, transport: str) -> None:
    """Each of them once, in the log and in its row, at the price of one list every five minutes."""
    scenario = Scenario(version=version, transport=transport)
    airflow = scenario.gateway.airflows["legacy"]
    airflow.paused.add("ingest_orders")
    for n in range(1, 121):
        scenario.upload(n, at=10 * n + n % 2)
    assert [] == scenario.play(Bounds(1.01, 1.0, longest_delay=10.0)).problems
    assert reported(scenario) == {(run.run_id, "paused") for run in airflow.history}
    assert {1} == set(scenario.gateway.not_runnable.values())
    assert {"paused"} == {row["not_runnable"]["S"] for row in rows(scenario)}
    assert 4 <= scenario.gateway.servers["legacy"].lists <= 6


def test_row_37_runs_of_a_stale_dag_are_told() -> None:
    """Over the CLI Airflow 3 takes them; when the file is back, later ones are not reported."""
    scenario = Scenario(version=AIRFLOW_3)
    airflow = scenario.gateway.airflows["legacy"]
    airflow.stale.add("ingest_orders")
    scenario.at(15 * MINUTE, airflow.stale.clear)
    for n in range(1, 61):
        scenario.upload(n, at=MINUTE * n)
    assert [] == scenario.play(NO_TROUBLE).problems
    of_then = {run.run_id for run in airflow.history if run.created_at < scenario.world.start + 15 * MINUTE}
    assert {(run_id, "stale") for run_id in of_then} <= reported(scenario)
    assert len(reported(scenario)) <= len(of_then) + 6  # until the list is renewed


@both_majors
@PER_TRANSPORT
def test_row_37_under_every_fault_what_is_told_is_true(version: str, transport: str) -> None:
    """One run each; no run of the running DAG is reported, and most of the paused one: many lists fail."""
    scenario = Scenario(Rates.of_the_promise(), version=version, transport=transport)
    scenario.gateway.airflows["legacy"].paused.add("close_b")
    for n in range(1, 101):
        scenario.upload(n, at=10 * n)
        scenario.close(1000 + n, at=10 * n)
    assert [] == scenario.play().problems
    paused = {run.run_id for run in scenario.gateway.airflows["legacy"].history if run.dag_id == "close_b"}
    assert reported(scenario) <= {(run_id, "paused") for run_id in paused}
    assert len(reported(scenario)) > 0.7 * len(paused)


@both_majors
@PER_TRANSPORT
def test_row_37_held_while_the_dag_is_paused(version: str, transport: str) -> None:
    """No run until it is unpaused, then one each within minutes, whatever goes wrong meanwhile."""
    scenario = Scenario(Rates.of_the_promise(), version=version, transport=transport)
    scenario.gateway.put_rule(orders_when_paused("hold"), version=2)
    airflow = scenario.gateway.airflows["legacy"]
    airflow.paused.add("ingest_orders")
    scenario.at(2 * HOUR, airflow.paused.clear)
    for n in range(1, 41):
        scenario.upload(n, at=30 * n)
    assert [] == scenario.play(Bounds(4.0, 100.0, longest_delay=4 * HOUR)).problems
    early = [run for run in airflow.history if run.created_at < scenario.world.start + 2 * HOUR]
    assert len(early) < 10  # of those for whom no list could be had within a minute


def test_row_37_held_while_the_dag_is_paused_for_days() -> None:
    """Longer than SQS keeps a message: the one that looks whether the DAG is unpaused is sent anew before that."""
    days = 5
    scenario = Scenario(version=AIRFLOW_3)
    scenario.gateway.put_rule(orders_when_paused("hold"), version=2)
    airflow = scenario.gateway.airflows["legacy"]
    airflow.paused.add("ingest_orders")
    scenario.at(days * DAY, airflow.paused.clear)
    scenario.upload()
    assert [] == scenario.play().problems
    [run] = scenario.runs
    assert days * DAY < run.created_at - scenario.world.start < days * DAY + 20 * MINUTE


@both_majors
@PER_TRANSPORT
def test_row_37_rejected_while_the_dag_is_paused(version: str, transport: str) -> None:
    """Dead at once, with the reason; those that come after it is unpaused run."""
    scenario = Scenario(version=version, transport=transport)
    scenario.gateway.put_rule(orders_when_paused("reject"), version=2)
    airflow = scenario.gateway.airflows["legacy"]
    airflow.paused.add("ingest_orders")
    scenario.at(HOUR, airflow.paused.clear)
    for n in range(1, 41):
        scenario.upload(n, at=3 * MINUTE * n)
        if 3 * MINUTE * n < HOUR:
            scenario.expected.dead[n, "sales.orders", "default"] = Reason.DAG_PAUSED
            del scenario.expected.runs[n, "sales.orders", "default"]
    assert [] == scenario.play(Bounds(1.1, 1.1, longest_delay=10.0)).problems


def test_row_37_a_list_that_never_comes_harms_nobody() -> None:
    """Every `dags list` outlasts its caller's patience, as with thousands of files on Airflow 2: the runs go on."""
    scenario = Scenario()
    scenario.gateway.servers["legacy"].list_seconds = 120.0
    for n in range(1, 201):
        scenario.upload(n, at=30 * n)
    assert [] == scenario.play(Bounds(1.0, 1.0, longest_delay=120.0)).problems
    assert scenario.gateway.servers["legacy"].lists <= 9


def test_row_40_waiting_for_a_slot_is_not_growing_old() -> None:
    """Requests that wait ten times as long as they may be tried: nobody dead."""
    scenario = Scenario(settings={"maximum_event_age_seconds": 20})
    for n in range(1, 301):
        scenario.upload(n)
    verdict = scenario.play()
    assert [] == verdict.problems
    assert verdict.longest_delay > 150


# --- InvokeRestApi -----------------------------------------------------------------------------------------------


@both_majors
def test_row_41_ten_seconds_of_silence_after_which_the_run_is_there(version: str) -> None:
    """MWAA gives up on half of the calls, and Airflow does not: looked up, never started twice."""
    scenario = Scenario(Rates(slow_command=0.5), version=version, transport="rest")
    for n in range(1, 201):
        scenario.upload(n, at=n)
    assert [] == scenario.play(Bounds(8.0, 20.0, longest_delay=4 * HOUR)).problems
    assert scenario.world.faults["read timeout"] > 50


@both_majors
def test_row_41_runs_of_a_dag_without_tasks(version: str) -> None:
    """They have no tasks: Airflow 3 finds them by their run_id, Airflow 2 by the 409 of a second start."""
    scenario = Scenario(Rates(response_lost=0.4, slow_command=0.2), version=version, transport="rest")
    scenario.gateway.airflows["legacy"].without_tasks = frozenset({"ingest_orders"})
    for n in range(1, 101):
        scenario.upload(n, at=n)
    assert [] == scenario.play(Bounds(8.0, 20.0, longest_delay=4 * HOUR)).problems


@both_majors
@pytest.mark.parametrize("seconds", [(0.05, 0.4), (0.9, 1.1)])
def test_row_41_ten_calls_a_second_are_kept(version: str, seconds: tuple[float, float]) -> None:
    """A storm alone is never throttled by MWAA, and gets at least 95 % of the eight calls a second that are its share.

    Also where no call is made for a second between two batches, while the last answers are awaited. In no stretch of time
    are there more calls than the share, the second of it that is saved, and one of each sandbox. The first calls of each
    sandbox find out how this Airflow wants a run without a date.
    """
    scenario = Scenario(version=version, transport="rest")
    api = scenario.gateway.rest_apis["legacy"]
    api.seconds = seconds
    for n in range(1, 901):
        scenario.upload(n, at=n / 900)
    assert [] == scenario.play(Bounds(1.05, 1.0, longest_delay=(900 + 10) / 8 / 0.95)).problems
    assert 0 == api.throttled
    for first, began in enumerate(api.called_at):
        for number, at in enumerate(api.called_at[first:], 1):
            assert number <= 8 * (at - began + 0.012) + 8 + scenario.gateway.slots  # 12 ms on the way


def test_row_41_others_use_up_the_ten_calls_a_second() -> None:
    """Somebody else's calls: ours are refused, wait, and come to one run each."""
    scenario = Scenario(transport="rest")
    api = scenario.gateway.rest_apis["legacy"]

    def use_up() -> None:
        api.left, api.filled_at = 0.0, scenario.world.scheduler.now

    for tenth in range(6000):
        scenario.at(tenth / 10, use_up)
    for n in range(1, 101):
        scenario.upload(n, at=n)
    assert [] == scenario.play(Bounds(2.0, 40.0, longest_delay=15 * MINUTE)).problems
    assert api.throttled > 10  # then the breaker was open


def test_row_41_a_dag_id_of_fifty_characters_and_one_of_fifty_one() -> None:
    """InvokeRestApi takes 64 characters of path: the one runs under every doubt, the other is dead with the remedy."""
    scenario = Scenario(Rates(response_lost=0.5), transport="rest")
    fits, too_long = "d" * 50, "e" * 51
    scenario.gateway.airflows["legacy"].dags |= {fits, too_long}
    for n in range(1, 41):
        dag_id = fits if n % 2 else too_long
        rule = RULES["sales.orders"] | {"targets": [RULES["sales.orders"]["targets"][0] | {"dag_id": dag_id}]}
        scenario.at(60 * n - 20, lambda rule=rule, n=n: scenario.gateway.put_rule(rule, version=1 + n))
        scenario.upload(n, at=60 * n)
        if n % 2:
            scenario.expected.runs[n, "sales.orders", "default"] = frozenset({("legacy", fits)})
        else:
            scenario.expected.dead[n, "sales.orders", "default"] = Reason.DAG_ID_TOO_LONG
            del scenario.expected.runs[n, "sales.orders", "default"]
    assert [] == scenario.play().problems
    assert all(
        "legacy=cli in the stack's parameter Transports" in dead_letter["reason_text"]
        for dead_letter in dead_letters(scenario, "trigger-dlq-legacy")
    )


@pytest.mark.parametrize(
    ("version", "transport", "reason", "said"),
    [
        (AIRFLOW_2, "cli", Reason.RUN_ID_REFUSED, "run_id"),
        (AIRFLOW_3, "cli", Reason.RUN_ID_REFUSED, "run_id"),
        # A page of HTTP 500, which says nothing of the run_id: tried until it is too old.
        (AIRFLOW_2, "rest", Reason.TOO_OLD, "HTTP 500"),
        (AIRFLOW_3, "rest", Reason.RUN_ID_REFUSED, "run_id"),
    ],
)
def test_rows_20_and_41_an_environment_that_does_not_allow_our_run_ids(
    version: str, transport: str, reason: Reason, said: str
) -> None:
    """Dead, with what Airflow said; other DAGs and environments go on."""
    scenario = Scenario(version=version, transport=transport, settings={"maximum_event_age_seconds": 1800})
    scenario.gateway.airflows["legacy"].allowed_run_ids = re.compile("manual__.*")
    for n in range(1, 6):
        scenario.upload(n, at=n)
        scenario.expected.dead[n, "sales.orders", "default"] = reason
    scenario.expected.runs.clear()
    assert [] == scenario.play().problems
    assert all(
        said in dead_letter["reason_text"] for dead_letter in dead_letters(scenario, "trigger-dlq-legacy")
    )


@each_way
@pytest.mark.parametrize("to", ["cli", "rest", "web"])
def test_row_41_an_environment_is_switched_to_the_other_transport(transport: str, to: str) -> None:
    """In the middle of the day, with requests waiting and in doubt: none runs twice."""
    scenario = Scenario(Rates(response_lost=0.3, web_server_error=0.3, killed=0.05), transport=transport)
    for n in range(1, 101):
        scenario.upload(n, at=n, again_at=(n + 40,))

    def switch() -> None:
        scenario.gateway.transports = {"legacy": to}
        scenario.new_sandboxes()

    scenario.at(60, switch)
    assert [] == scenario.play().problems


# --- a web login -------------------------------------------------------------------------------------------------


def refuse_logins(scenario: Scenario, how: int | str | None) -> None:
    """From now on, in each environment: by an HTTP status, by IAM ("denied"), with useless sessions, or no longer (None)."""
    scenario.gateway.mwaa.denied_logins = set(scenario.gateway.servers) if how == "denied" else set()
    for login in scenario.gateway.logins.values():
        login.refused = how if isinstance(how, int) else None
        login.opens_nothing = how == "opens nothing"
        login.sessions.clear()


def refuse_twice(scenario: Scenario, how: int | str) -> None:
    """For 200 s, twice."""
    for begin in (300, 700):
        scenario.at(begin, lambda: refuse_logins(scenario, how))
        scenario.at(begin + 200, lambda: refuse_logins(scenario, None))


@pytest.mark.parametrize("how", ["denied", 403, 404, 200, "opens nothing"])
@pytest.mark.parametrize("fallback", ["rest", "cli"])
def test_row_51_while_the_login_is_refused_the_fallback_starts_the_runs(
    how: int | str, fallback: str
) -> None:
    """Answers are lost meanwhile: a request in doubt over the one transport is looked up over the other."""
    rates = Rates(response_lost=0.4, delivered_twice=0.1, killed=0.02)
    scenario = Scenario(rates, version=AIRFLOW_3, transport=f"web/{fallback}")
    for n in range(1, 61):
        scenario.upload(n, at=20 * n)
    refuse_twice(scenario, how)
    assert [] == scenario.play(Bounds(5.0, 20.0, longest_delay=HOUR)).problems
    reported = scenario.gateway.fallbacks
    assert {"legacy"} == {environment for environment, _ in reported}
    # Each of three sandboxes tries the login once a minute, and a killed one has a successor.
    assert len(reported) <= 60
    began = [run.created_at - START for run in scenario.runs]
    assert any(300 < at < 500 for at in began)


@pytest.mark.parametrize("how", ["denied", 403, 404])
def test_row_51_without_a_fallback_requests_wait_for_the_login(how: int | str) -> None:
    """Behind the environment's circuit breaker: none is dead, and nothing but logins is tried."""
    scenario = Scenario(version=AIRFLOW_3, transport="web")
    for n in range(1, 61):
        scenario.upload(n, at=20 * n)
    refuse_twice(scenario, how)
    assert [] == scenario.play(Bounds(1.1, 20.0, longest_delay=10 * MINUTE)).problems
    began = [run.created_at - START for run in scenario.runs]
    assert not any(302 < at < 500 for at in began)


@both_majors
def test_row_51_a_session_that_ends_is_renewed_once_and_for_all_who_need_it(version: str) -> None:
    """A third of the calls are refused for their session, in each way: 302, 401 and 403."""
    scenario = Scenario(Rates(token_refused=0.3), version=version, transport="web")
    for n in range(1, 201):
        scenario.upload(n, at=n)
    assert [] == scenario.play(Bounds(1.5, 5.0, longest_delay=30 * MINUTE)).problems
    login = scenario.gateway.logins["legacy"]
    assert login.logins <= 2 + scenario.gateway.servers["legacy"].refused_tokens


def test_row_51_a_session_lasts_for_hours() -> None:
    """One login a sandbox for twelve hours, not one a run."""
    scenario = Scenario(version=AIRFLOW_3, transport="web")
    for n in range(1, 101):
        scenario.upload(n, at=10 * n)
    assert [] == scenario.play(Bounds(1.1, 1.0, 10.0)).problems
    assert scenario.gateway.logins["legacy"].logins <= 3


# --- the fakes themselves ----------------------------------------------------------------------------------------


def test_a_message_is_invisible_while_it_is_worked_on() -> None:
    """The fake itself: a stale receipt is refused, and what nobody deletes comes back."""
    scenario = Scenario()
    queue = scenario.gateway.queues["ingress-dlq"]
    queue.send("x")
    scenario.world.scheduler.run(until=scenario.world.start + 1)
    message = queue.receive()
    assert isinstance(message, Message)
    assert queue.receive() is None
    queue.leave(message)
    scenario.world.scheduler.run(until=scenario.world.start + 60)
    again = queue.receive()
    assert again is not None
    assert 2 == again.receives
