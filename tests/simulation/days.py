"""Small days, each with the fault that one safeguard is there for; each returns what the checker found."""

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from mwaa_gateway.outcomes import Reason
from simulation.checker import Bounds
from simulation.scenario import ANY, NO_TROUBLE, Scenario
from simulation.scheduler import Process
from simulation.workload import (
    HOSTILE,
    ORDERS_IN_ANALYTICS,
    RULES,
    UNWRAPPED_TOPIC,
    a_manifest,
    a_notification,
    a_rate,
    an_event,
    an_upload,
    sequencer,
    the_same_upload_through_eventbridge,
)
from simulation.world import Crash, Outage, RandomCrashes, Rates

DAY, HOUR, MINUTE = 86_400.0, 3600.0, 60.0


def a_second() -> list[str]:
    """Two hundred events of one DAG in one second, on Airflow 2."""
    scenario = Scenario()
    for n in range(1, 201):
        scenario.upload(n, at=n / 1000)
    return scenario.play(Bounds(1.0, 1.0, 200.0)).problems


def lost_answers() -> list[str]:
    scenario = Scenario(
        Rates(response_lost=0.4, web_server_error=0.2), settings={"maximum_event_age_seconds": 7200}
    )
    for n in range(1, 21):
        scenario.upload(n, at=n)
    return scenario.play(ANY).problems


def garbled_answers() -> list[str]:
    scenario = Scenario(Rates(garbled=0.5, web_server_error=0.3))
    for n in range(1, 51):
        scenario.upload(n, at=n)
    return scenario.play(ANY).problems


def taken_dates() -> list[str]:
    """Somebody else's runs have the logical dates."""
    scenario = Scenario()
    scenario.gateway.airflows["legacy"].date_taken = lambda: scenario.world.random.random() < 0.4
    for n in range(1, 51):
        scenario.upload(n, at=n)
    return scenario.play(ANY).problems


def overtaken() -> list[str]:
    """Attempts that overlap: slow commands, duplicates in between."""
    scenario = Scenario(Rates(slow_command=0.5, response_lost=0.3, delivered_twice=0.5))
    for n in range(1, 51):
        scenario.upload(n, at=20 * n, again_at=(20 * n + 10, 20 * n + 25))
    return scenario.play(ANY).problems


def moved_rule() -> list[str]:
    scenario = Scenario(Rates(response_lost=0.6, web_server_error=0.3))
    scenario.gateway.airflows["analytics"].dags.add("ingest_orders")
    for n in range(1, 51):
        scenario.upload(n, at=20 * n, again_at=(20 * n + 12, 20 * n + 300))
        scenario.expected.runs[n, "sales.orders", "default"] |= {("analytics", "ingest_orders")}
    for n in range(0, 1000, 10):
        rule = ORDERS_IN_ANALYTICS if n % 20 else RULES["sales.orders"]
        scenario.at(n, lambda rule=rule, n=n: scenario.gateway.put_rule(rule, version=2 + n))
    return scenario.play(ANY).problems


def lost_writes() -> list[str]:
    """DynamoDB applies every third write and loses its answer: botocore sends it again at once."""
    scenario = Scenario(Rates(answer_lost=0.15))
    for n in range(1, 101):
        scenario.upload(n, at=120 * n)
    return scenario.play(
        Bounds(commands_per_run=1.15, deliveries_per_request=1.1, longest_delay=60.0)
    ).problems


def refusals() -> list[str]:
    """A web server that is away for a while: messages are given back."""
    scenario = Scenario(outages=(Outage("web server legacy", 0, 120),))
    for n in range(1, 31):
        scenario.upload(n, at=n)
    return scenario.play(Bounds(10.0, 60.0, 1000.0)).problems


def no_trouble() -> list[str]:
    scenario = Scenario()
    for n in range(1, 31):
        scenario.upload(n, at=n)
    return scenario.play(NO_TROUBLE, until=86_400).problems


def one_environment_away() -> list[str]:
    """Many events, in three environments, one of them away for an hour."""
    scenario = Scenario(outages=(Outage("web server legacy", 0, HOUR),))
    for n in range(1, 41):
        scenario.close(n, at=n)
    problems = scenario.play(Bounds(3.0, 500.0, HOUR + 1200)).problems
    asked = scenario.gateway.servers["legacy"].refused_away
    return (
        problems if asked <= HOUR / 3 else [*problems, f"{asked} commands sent to a web server that was away"]
    )


def taken_dates_over_rest() -> list[str]:
    scenario = Scenario(transport="rest")
    scenario.gateway.airflows["legacy"].date_taken = lambda: scenario.world.random.random() < 0.4
    for n in range(1, 51):
        scenario.upload(n, at=n)
    return scenario.play(ANY).problems


def a_second_over_rest() -> list[str]:
    scenario = Scenario(transport="rest")
    for n in range(1, 201):
        scenario.upload(n, at=n / 1000)
    return scenario.play(Bounds(1.1, 1.0, 40.0)).problems


def lost_answers_over_rest() -> list[str]:
    scenario = Scenario(Rates(response_lost=0.4, web_server_error=0.4), transport="rest")
    for n in range(1, 41):
        scenario.upload(n, at=n)
    return scenario.play(ANY).problems


def refused_sessions() -> list[str]:
    scenario = Scenario(Rates(token_refused=0.4), transport="web")
    for n in range(1, 41):
        scenario.upload(n, at=n)
    return scenario.play(Bounds(2.0, 1.6, HOUR), until=HOUR / 4).problems


def refused_logins() -> list[str]:
    """For an hour, from the first request."""
    scenario = Scenario(transport="web/rest")
    for login in scenario.gateway.logins.values():
        login.refused = 403
    scenario.at(HOUR, lambda: [setattr(login, "refused", None) for login in scenario.gateway.logins.values()])
    for n in range(1, 41):
        scenario.upload(n, at=n)
    return scenario.play(Bounds(1.1, 1.0, 10.0)).problems


def purged_and_delivered_again() -> list[str]:
    scenario = Scenario()
    for n in range(1, 21):
        scenario.upload(n, at=n, again_at=(2 * DAY,))
    scenario.at(DAY, scenario.gateway.airflows["legacy"].purge)
    return scenario.play(ANY).problems


class KilledWhileRecording:
    """A dispatcher that found a DAG missing has opened the breaker, and dies before it records the outcome."""

    def __init__(self) -> None:
        self.writes: Counter[Process] = Counter()  # since Airflow was asked

    def next(self, process: Process, operation: str) -> Crash | None:
        if process.asked and operation == "UpdateItem":
            self.writes[process] += 1
            return Crash.DURING if self.writes[process] == 2 else None
        return None

    def written(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        pass


def purged_and_redriven() -> list[str]:
    """A DAG is missing for the first delivery and there for the second; later Airflow is purged, and the dead redriven."""
    scenario = Scenario(settings={"dag_missing_grace_seconds": 0}, crashes=KilledWhileRecording())
    airflow, began = scenario.gateway.airflows["legacy"], scenario.world.start
    scenario.gateway.servers["legacy"].seconds = (1.0, 1.0)
    queue, dead = scenario.gateway.queues["trigger-legacy"], scenario.gateway.queues["trigger-dlq-legacy"]
    for n in range(1, 41):
        scenario.at(10 * n - 1, airflow.dags.clear)
        scenario.upload(n, at=10 * n, again_at=(10 * n + 2,))
        scenario.at(10 * n + 2, lambda: airflow.dags.add("ingest_orders"))
    scenario.world.scheduler.run(until=began + DAY)
    airflow.purge()
    scenario.world.crashes = RandomCrashes(random.Random(0), 0.0)
    for message in list(dead.messages.values()):
        queue.send(json.dumps(json.loads(message.body)["request"] | {"redrive": 1}))
        dead.delete(message)
    return scenario.play(ANY).problems


def a_dag_that_never_comes() -> list[str]:
    scenario = Scenario()
    scenario.gateway.airflows["legacy"].dags.clear()
    for n in range(1, 51):
        scenario.upload(n, at=n)
        scenario.expected.dead[n, "sales.orders", "default"] = Reason.DAG_MISSING
    scenario.expected.runs.clear()
    problems = scenario.play().problems
    asked = scenario.gateway.servers["legacy"].commands.total()
    return problems if asked <= 100 else [*problems, f"{asked} commands for a DAG that Airflow does not know"]


def a_killer() -> list[str]:
    """A request whose command kills its process, among others."""
    scenario = Scenario()
    scenario.gateway.airflows["analytics"].dags.add("killer")
    scenario.gateway.servers["analytics"].killers = frozenset({"killer"})
    scenario.gateway.put_rule(RULES["lab.killer"])
    scenario.send("eventbridge_events", an_event("k-1000", "acme.lab", "Killer", {"n": sequencer(1000)}))
    scenario.expected.dead[1000, "lab.killer", "default"] = Reason.CRASHED
    for n in range(1, 10):
        scenario.close(n, at=n * 5)
    return scenario.play(Bounds(1.2, 1.3, 30.0)).problems


def waiting_for_slots() -> list[str]:
    """Requests that wait for a slot longer than they may be tried."""
    scenario = Scenario(Rates(token_refused=0.12), settings={"maximum_event_age_seconds": 300})
    for n in range(1, 901):
        scenario.upload(n)
    return scenario.play(ANY).problems


def refused_tokens() -> list[str]:
    scenario = Scenario(Rates(token_refused=0.2))
    for n in range(1, 101):
        scenario.upload(n, at=10 * n)
    return scenario.play(Bounds(1.0, 1.15, HOUR)).problems


def refused_entries() -> list[str]:
    scenario = Scenario(Rates(queue_failed=0.2))
    for n in range(1, 101):
        scenario.close(n, at=n)
    return scenario.play(ANY).problems


def no_rules_to_be_read() -> list[str]:
    """DynamoDB is away for longer than Lambda tries again by itself."""
    scenario = Scenario(outages=(Outage("dynamodb", 0, 16 * MINUTE),))
    for n in range(1, 21):
        scenario.upload(n, at=10 * n)
    return scenario.play(ANY).problems


def two_routes() -> list[str]:
    """The same upload as a notification, through EventBridge, and inside a topic's message."""
    scenario = Scenario()
    for n in range(1, 21):
        key = f"orders/a b+{n}.csv"
        scenario.upload(n, at=n, key=key)
        scenario.send("eventbridge_events", the_same_upload_through_eventbridge(n, key), at=n + 0.5)
        scenario.send("sns_events", a_notification(n, UNWRAPPED_TOPIC, an_upload(n, key)), at=n)
    return scenario.play(ANY).problems


def hostile_keys() -> list[str]:
    scenario = Scenario()
    for n, name in enumerate(HOSTILE, 1):
        scenario.upload(n, at=n, key=f"orders/{name}")
    return scenario.play(ANY, until=10 * DAY).problems


def throttle_writes(scenario: Scenario, refused: Callable[[dict[str, Any]], bool]) -> None:
    """Have the ledger table refuse the writes that are meant, and no others."""
    update = scenario.gateway.ledger.update

    def throttled(request: dict[str, Any]) -> dict[str, Any]:
        if refused(request):
            raise ClientError(
                {"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "UpdateItem"
            )
        return update(request)

    scenario.gateway.ledger.update = throttled


def breakers_that_cannot_be_written() -> list[str]:
    """A DAG is missing, and the breaker's item takes no write, as when its key alone is throttled."""
    scenario = Scenario()
    scenario.gateway.airflows["legacy"].dags.clear()
    throttle_writes(
        scenario,
        lambda request: (
            request["Key"]["request"]["S"] == "gate" and "shut_since" in request["UpdateExpression"]
        ),
    )
    for n in range(1, 11):
        scenario.upload(n, at=n)
        scenario.expected.dead[n, "sales.orders", "default"] = Reason.DAG_MISSING
    scenario.expected.runs.clear()
    return scenario.play().problems


def ends_that_are_not_taken_at_once() -> list[str]:
    """Tokens are refused for ten minutes, and what became of an attempt is not taken when DynamoDB is first asked to."""
    scenario = Scenario(Rates(token_refused=1.0))
    scenario.at(10 * MINUTE, lambda: setattr(scenario.world, "rates", Rates()))
    asked_before: set[str] = set()

    def first_of_an_end(request: dict[str, Any]) -> bool:
        if "unanswered = :zero" not in request["UpdateExpression"] or scenario.now >= 10 * MINUTE:
            return False
        end = f"{request['Key']} {request['ExpressionAttributeValues'].get(':attempt')}"
        is_first = end not in asked_before
        asked_before.add(end)
        return is_first

    throttle_writes(scenario, first_of_an_end)
    for n in range(1, 11):
        scenario.upload(n, at=n)
    return scenario.play().problems


def large_confs() -> list[str]:
    """The bucket for large confs is away for a while."""
    scenario = Scenario(outages=(Outage("s3", 30, 10 * MINUTE),))
    scenario.gateway.airflows["analytics"].dags.add("unpack")
    scenario.gateway.put_rule(RULES["archive.manifests"])
    for n in range(1, 41):
        scenario.expected.came(n, scenario.world.start + 2 * n)
        scenario.expected.files[n] = files = f"{n}/" * 20_000
        scenario.expected.runs[n, "archive.manifests", "default"] = frozenset({("analytics", "unpack")})
        scenario.send("eventbridge_events", a_manifest(n, files), at=2 * n)
    return scenario.play(ANY).problems


def shared_keys() -> list[str]:
    """Events of three desks around the borders of their windows, and all of them again on the next day."""
    scenario = Scenario()
    scenario.gateway.airflows["science"].dags.add("price")
    scenario.gateway.put_rule(RULES["desk.rates"])
    first: dict[tuple[str, int], int] = {}
    seconds = (0, 1, 599, 600, 601, 1199, 1200)
    for n, (desk, second) in enumerate(((desk, second) for second in seconds for desk in "abc"), 1):
        stands_for = first.setdefault((desk, second // 600), n)
        if stands_for == n:
            scenario.expected.runs[n, "desk.rates", "default"] = frozenset({("science", "price")})
        else:
            scenario.expected.stands_for[n] = stands_for
        scenario.expected.came(n, scenario.world.start + n)
        for at in (float(n), DAY + n):
            scenario.send("eventbridge_events", a_rate(n, desk, second), at=at)
    return scenario.play(ANY).problems
