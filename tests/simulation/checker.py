"""Looks at what happened from outside: runs, dead letters, queues, ledger rows, and how long and how often."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from mwaa_gateway.dead_events import LATE_MEMBER
from mwaa_gateway.outcomes import Reason
from simulation.airflow import Run
from simulation.batches import RunOfBatch, batch_problems
from simulation.collecting import COLLECTED
from simulation.gateway import Gateway
from simulation.mwaa import CANARY
from simulation.workload import Expected, RunKey, number

__all__ = ["Bounds", "LedgerWatch", "Verdict", "check", "event_of"]


@dataclass
class LedgerWatch:
    """Every write to the ledger as it happens: what is finished never changes again, unless it is redriven."""

    writes: int = 0
    texts: Counter[str] = field(default_factory=Counter)  # of every reason ever recorded
    changed_after_the_end: list[str] = field(default_factory=list)

    def __call__(self, key: tuple[str, str], old: dict | None, new: dict) -> None:
        self.writes += 1
        if "reason_text" in new:
            self.texts[new["reason_text"]["S"]] += 1
        if old is not None and "redrives" in new and old.get("redrives") != new["redrives"]:
            return
        if old is not None and "not_runnable" not in old:
            new = {
                name: value for name, value in new.items() if name != "not_runnable"
            }  # reported once, later
        if old is not None and old.get("state", {}).get("S") in ("triggered", "dead") and new != old:
            self.changed_after_the_end.append(f"{key[1]}: {old['state']['S']} -> {new['state']['S']}")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be spent on a run on average; how long the slowest, and the one in the middle, may take.

    In seconds since the event's first delivery.
    """

    commands_per_run: float
    deliveries_per_request: float
    longest_delay: float
    median_delay: float = math.inf
    batch_delay: float = math.inf  # of the decision about a batch, after its rule asks for it


@dataclass
class Verdict:
    """What was found; `problems` is empty when every promise held."""

    problems: list[str] = field(default_factory=list)
    created: int = 0  # runs of events; those of batches come beside them
    batches: int = 0
    lost: int = 0
    doubled: int = 0
    dead: int = 0
    commands_per_run: float = 0.0
    deliveries_per_request: float = 0.0
    longest_delay: float = 0.0
    median_delay: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.problems


def check(gateway: Gateway, expected: Expected, watch: LedgerWatch, bounds: Bounds) -> Verdict:
    """Compare what happened with what must have happened."""
    verdict = Verdict()
    of_batches = _runs(gateway, expected, verdict)
    verdict.batches = len({run.batch["id"] for run in of_batches})
    verdict.problems += batch_problems(gateway, expected, of_batches, bounds.batch_delay)
    _dead(gateway, expected, verdict)
    verdict.problems += [
        *_left_over(gateway),
        *_ledger(gateway, watch),
        *_secrets(gateway, watch),
        *_too_much(verdict, bounds),
    ]
    return verdict


def _left_over(gateway: Gateway) -> Iterator[str]:
    """Whatever is still under way when everything should have come to its end."""
    for mapping in (*gateway.mappings.values(), gateway.retries, *gateway.feeds.mappings):
        if mapping.queue.messages:
            yield f"{len(mapping.queue.messages)} messages are left on {mapping.queue.name}"
        if mapping.running:
            yield f"{mapping.running} invocations of {mapping.sandboxes.name} are still running"
    for invocations in gateway.ingress.values():
        if invocations.in_flight:
            yield f"{invocations.in_flight} events of {invocations.sandboxes.name} are still on their way"
    if not gateway.world.scheduler.idle:
        yield "something was still to be done when the time was up"
    if gateway.world.surprises:
        yield f"{len(gateway.world.surprises)} surprises: {gateway.world.surprises[:3]}"
    for server in gateway.servers.values():
        if server.most_running > server.slots:
            yield f"{server.most_running} commands at once on {server.airflow.environment}"


def _ledger(gateway: Gateway, watch: LedgerWatch) -> Iterator[str]:
    unfinished = [
        key[1]
        for key, item in gateway.ledger.items.items()
        if "state" in item and item["state"]["S"] not in ("triggered", "dead")
    ]
    if unfinished:
        yield f"{len(unfinished)} ledger rows are unfinished: {unfinished[:3]}"
    if watch.changed_after_the_end:
        yield f"finished ledger rows changed: {watch.changed_after_the_end[:3]}"


def _secrets(gateway: Gateway, watch: LedgerWatch) -> Iterator[str]:
    """A CLI token in anything that leaves a function but for the web server."""
    for text in (*gateway.texts, *watch.texts, *gateway.world.surprises):
        if CANARY in text:
            yield f"a CLI token was shown: {text[:200]}"
            return
    for item in gateway.ledger.items.values():
        if CANARY in repr(item):
            yield f"a CLI token lies in the ledger: {item}"
            return


def _too_much(verdict: Verdict, bounds: Bounds) -> Iterator[str]:
    if verdict.commands_per_run > bounds.commands_per_run:
        yield f"{verdict.commands_per_run:.2f} commands per run, more than {bounds.commands_per_run}"
    if verdict.deliveries_per_request > bounds.deliveries_per_request:
        yield (
            f"{verdict.deliveries_per_request:.2f} deliveries per request, "
            f"more than {bounds.deliveries_per_request}"
        )
    if verdict.longest_delay > bounds.longest_delay:
        yield f"a run came {verdict.longest_delay:.0f} s after its event, later than {bounds.longest_delay:.0f} s"
    if verdict.median_delay > bounds.median_delay:
        yield f"half of the runs came later than {verdict.median_delay:.0f} s, more than {bounds.median_delay:.0f} s"


def _runs(gateway: Gateway, expected: Expected, verdict: Verdict) -> list[RunOfBatch]:
    """Look at the runs of events; returns those of batches."""
    of_batches: list[RunOfBatch] = []
    found = _runs_by_event(gateway, expected, verdict, of_batches)
    delays = []
    for key, places in expected.runs.items():
        runs = found.pop(key, [])
        if not runs:
            verdict.lost += 1
            verdict.problems.append(f"lost: {key}")
            continue
        delays.append(runs[0].created_at - expected.arrived[key[0]])
        if len(runs) > 1:
            verdict.doubled += len(runs) - 1
            verdict.problems.append(
                f"doubled: {key} has {[(run.environment, run.dag_id, run.run_id) for run in runs]}"
            )
        if not {(run.environment, run.dag_id) for run in runs} <= places:
            verdict.problems.append(f"misplaced: {key} ran as {runs[0].dag_id} in {runs[0].environment}")
    for key in found:
        verdict.doubled += len(found[key])
        verdict.problems.append(f"nobody asked for: {key}")
    verdict.created = sum(len(airflow.history) for airflow in gateway.airflows.values()) - len(of_batches)
    requests = max(1, len(expected.runs) + len(of_batches))
    verdict.commands_per_run = sum(s.commands.total() for s in gateway.servers.values()) / requests
    sent = sum(mapping.queue.sent for mapping in gateway.mappings.values())
    # What came again for the catalog alone was worked off: one of it is a write, and there are few.
    deliveries = sum(mapping.queue.deliveries for mapping in gateway.mappings.values()) - gateway.untold
    verdict.deliveries_per_request = deliveries / max(1, sent)
    delays.sort()
    if delays:
        verdict.longest_delay, verdict.median_delay = delays[-1], delays[len(delays) // 2]
    return of_batches


def _runs_by_event(
    gateway: Gateway, expected: Expected, verdict: Verdict, of_batches: list[RunOfBatch]
) -> dict[RunKey, list[Run]]:
    """All runs but those of batches, by what they stand for; what they were given is looked at on the way."""
    found: defaultdict[RunKey, list[Run]] = defaultdict(list)
    for airflow in gateway.airflows.values():
        for run in airflow.history:
            conf = json.loads(run.conf)
            origin = conf["mwaa_gateway"]
            if "conf_uri" in origin:
                verdict.problems += _untimely(gateway, origin["conf_uri"], run)
                conf |= _large(gateway, origin["conf_uri"])
            if origin["rule_id"] in COLLECTED:
                of_batches.append(RunOfBatch(origin["rule_id"], origin["target_id"], run, origin["batch"]))
                continue
            n = event_of(conf)
            for name, given in (("key", expected.keys), ("files", expected.files)):
                if name in conf and conf[name] != given[n]:
                    verdict.problems.append(f"event {n}: conf has {name} {conf[name]!r}, not {given[n]!r}")
            again = f"__r{origin['generation']}" if origin["generation"] else ""
            of = expected.stands_for.get(n, n)
            found[of, origin["rule_id"], origin["target_id"] + again].append(run)
    return found


def _large(gateway: Gateway, uri: str) -> dict:
    """The conf that lies in the bucket."""
    body, _ = gateway.s3.objects.get(uri, (b'{"n": "0062000000000"}', 0.0))
    return json.loads(body)


def _untimely(gateway: Gateway, uri: str, run: Run) -> Iterator[str]:
    """A run that reads its conf as soon as it begins must find it."""
    if uri not in gateway.s3.objects or gateway.s3.objects[uri][1] > run.created_at:
        yield f"{run.run_id} was started before its conf was in the bucket"


def event_of(conf: dict) -> int:
    if "n" in conf:
        return number(conf["n"])
    return number(
        (conf["sequencer"] if "sequencer" in conf else conf["detail"]["object"]["sequencer"]).upper()
    )


def _dead(gateway: Gateway, expected: Expected, verdict: Verdict) -> None:
    """Dead is exactly the poison: in the ledger, and on the dead-letter queues."""
    rung: dict[RunKey, Reason] = {}
    unreadable: set[str] = set()
    for name in gateway.airflows:
        for message in gateway.queues[f"trigger-dlq-{name}"].messages.values():
            dead_letter = json.loads(message.body)
            if "request" in dead_letter:
                request = dead_letter["request"]
                n = event_of(request["conf"])
                key = expected.stands_for.get(n, n), request["rule_id"], request["target_id"]
                rung[key] = Reason(dead_letter["reason"])
            elif "body" in dead_letter:
                unreadable.add(dead_letter["body"])
            else:
                verdict.problems.append(f"SQS itself gave up a message of {name}: {message.body[:80]}")
    rows = {
        (item["request"]["S"], Reason(item["reason"]["S"]))
        for item in gateway.ledger.items.values()
        if item.get("state", {}).get("S") == "dead"
    }
    verdict.dead = len(rung)
    if rung != expected.dead:
        wrong = {key: reason for key, reason in rung.items() if expected.dead.get(key) != reason}
        missing = expected.dead.keys() - rung.keys()
        verdict.problems.append(f"dead without need: {wrong}; not dead: {missing}")
    if len(unreadable) != expected.garbage:
        verdict.problems.append(f"{len(unreadable)} unreadable messages were kept, not {expected.garbage}")
    reasons = {(f"{rule}#{target}#0", reason) for (_, rule, target), reason in expected.dead.items()}
    if rows != reasons:
        verdict.problems.append(f"dead in the ledger: {rows ^ reasons}")
    verdict.problems += _dead_at_ingress(gateway, expected)


def _dead_at_ingress(gateway: Gateway, expected: Expected) -> Iterator[str]:
    dead_lettered: defaultdict[str, set[str]] = defaultdict(set)
    for message in gateway.queues["ingress-dlq"].messages.values():
        dead_letter = json.loads(message.body)
        if dead_letter.get("reason") == LATE_MEMBER:
            continue  # `batch_problems` has looked at it
        dead_lettered[dead_letter.get("reason", "given up")].add(
            json.dumps(dead_letter.get("payload") or dead_letter)
        )
    counts = {reason: len(payloads) for reason, payloads in dead_lettered.items()}
    if Counter(counts) != Counter(expected.dead_at_ingress):
        yield f"in the ingress DLQ: {counts}, not {expected.dead_at_ingress}"
