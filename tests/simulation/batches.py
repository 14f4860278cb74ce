"""Looks at batches from outside: runs and manifests, when each event was sent, and what the rules promise about it."""

import gzip
import json
import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulation.airflow import Run
from simulation.gateway import Gateway
from simulation.workload import Expected, Piece, number

__all__ = ["RunOfBatch", "batch_problems"]

LATE_QUIET, MARKER_QUIET, LONGEST = 300.0, 30.0, 30 * 86_400.0
LONGEST_LOOK = 60.0
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class RunOfBatch:
    """A run of a rule that collects, and what its conf says about the batch."""

    rule: str
    target: str
    run: Run
    batch: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch, and the rule that it follows. `released_at` and `decided_at`: when its release began, and was decided."""

    id: str
    rule: dict[str, Any]
    key: str
    number: int
    first_at: float
    is_late: bool
    decision: dict[str, Any]
    released_at: float
    decided_at: float

    @property
    def reason(self) -> str:
        return self.decision["reason"]


@dataclass(frozen=True, slots=True)
class Joined:
    """A piece in a batch: when it was first sent to the collect queue, and when it came into the batch."""

    piece: Piece
    sent_at: float
    joined_at: float


@dataclass(frozen=True, slots=True)
class Contents:
    """The members and markers of a batch."""

    members: Sequence[Joined]
    markers: Sequence[Joined]

    @property
    def last_at(self) -> float:
        return max((each.sent_at for each in (*self.members, *self.markers)), default=0.0)

    @property
    def distinct(self) -> set[str]:
        return {member.piece.distinct for member in self.members}

    def of(self, admitted: Callable[[Joined], bool]) -> "Contents":
        return Contents([*filter(admitted, self.members)], [*filter(admitted, self.markers)])


def batch_problems(
    gateway: Gateway, expected: Expected, runs: Sequence[RunOfBatch], slack: float
) -> Iterator[str]:
    """Compare the members of all runs with the events that were sent, and each batch with what its rule promises.

    A batch may be decided `slack` seconds after its rule says so.
    """
    yield from _left_over(gateway)
    if not expected.pieces:
        return
    batches = {batch.id: batch for batch in _batches(gateway)}
    by_batch: defaultdict[str, list[RunOfBatch]] = defaultdict(list)
    for run in runs:
        by_batch[run.batch["id"]].append(run)
    for batch_id in by_batch.keys() - batches.keys():
        yield f"runs of batch {batch_id}, about which nothing was decided"
    for batch in batches.values():
        yield from _runs_of(gateway, batch, by_batch[batch.id])
    yield from _each_in_one(gateway, expected, batches.values())
    yield from _markers(gateway, expected, batches)
    yield from _late_ones(batches.values())
    of_keys: defaultdict[tuple[str, str], list[tuple[Batch, Contents]]] = defaultdict(list)
    for batch, contents in _all_contents(gateway, expected, batches.values()):
        of_keys[batch.rule["id"], batch.key].append((batch, contents))
        for problem in _as_promised(batch, contents, slack, gateway.world.clock_skew):
            yield f"{batch.id} of {batch.rule['id']} {batch.key}: {problem}"
    if math.isfinite(slack):
        for some in of_keys.values():
            yield from _left_for_later(some)


def _all_contents(
    gateway: Gateway, expected: Expected, batches: Iterable[Batch]
) -> Iterator[tuple[Batch, Contents]]:
    """What each batch with a manifest has."""
    sent, joined, numbers = gateway.feeds.first_sent(), gateway.feeds.joined, _numbers(gateway)

    def member(rule_id: str, member_id: str) -> Joined:
        key = rule_id, member_id
        return Joined(expected.pieces[numbers[key]], sent[key], joined[key])

    for batch in batches:
        if uri := batch.decision["manifest"]:
            rule_id = batch.rule["id"]
            members = [member(rule_id, line["member_id"]) for line in _lines(gateway, uri)]
            yield batch, Contents(members, [member(rule_id, marker) for marker in batch.decision["markers"]])


def _batches(gateway: Gateway) -> Iterator[Batch]:
    feeds = gateway.feeds
    for (partition, sort), item in feeds.table.items.items():
        if sort == "batch":
            batch_id = partition.removeprefix("batch#")
            content = json.loads(item["content"]["S"])
            decision = feeds.table.items.get((partition, "decision"))
            if decision is None:
                continue  # _left_over names it
            yield Batch(
                batch_id,
                json.loads(content["document"]),
                "/".join(value for _, value in content["key"]),
                content["number"],
                content["first_at"],
                content["is_late"],
                json.loads(zlib.decompress(decision["content"]["B"])),
                feeds.released[batch_id],
                feeds.decided[batch_id],
            )


def _numbers(gateway: Gateway) -> dict[tuple[str, str], int]:
    """The numbers of the events by rule and member id, as the pointers have them."""
    numbers = {}
    for (partition, sort), item in gateway.feeds.table.items.items():
        if sort == "member":
            _, rule_id, member_id = partition.split("#")
            numbers[rule_id, member_id] = _number(json.loads(item["member"]["S"])["item"])
    return numbers


def _number(line: dict[str, Any]) -> int:
    return number(line["etag"] if "etag" in line else line["detail"]["n"])


def _lines(gateway: Gateway, uri: str) -> Iterator[dict[str, Any]]:
    body, _ = gateway.s3.objects[uri]
    yield from map(json.loads, gzip.decompress(body).splitlines())


def _runs_of(gateway: Gateway, batch: Batch, runs: Sequence[RunOfBatch]) -> Iterator[str]:
    """One run for each target, with the manifest of the decision: stored before the run was created."""
    name = f"{batch.id} of {batch.rule['id']}"
    is_asked = batch.id in gateway.feeds.asked
    if batch.reason in ("operator", "cancelled") and not is_asked and "cancelled" not in _when_due(batch):
        yield f"{name}: {batch.reason}, and no operator said so"
    wanted = Counter(target["id"] for target in batch.rule["targets"])
    if batch.reason == "cancelled" or not batch.decision["count"]:
        wanted.clear()
    found = Counter(run.target for run in runs)
    for target in found - wanted:
        yield f"doubled: batch {name} has {found[target]} runs of {target}, not {wanted[target]}"
    for target in wanted - found:
        yield f"lost: batch {name} has no run of {target}"
    for run in runs:
        yield from (f"{name}: {problem}" for problem in _manifest_of(gateway, batch, run))


def _manifest_of(gateway: Gateway, batch: Batch, run: RunOfBatch) -> Iterator[str]:
    conf, decision = run.batch, batch.decision
    if (conf["manifest"], int(conf["count"]), conf["reason"]) != (
        decision["manifest"],
        decision["count"],
        decision["reason"],
    ):
        yield f"its run has {conf['count']} members, and its decision {decision['count']}"
    _, since = gateway.s3.objects[conf["manifest"]]
    if since > run.run.created_at:
        yield "its run was started before its manifest was in the bucket"
    lines = [*_lines(gateway, conf["manifest"])]
    if len(lines) != int(conf["count"]):
        yield f"its manifest does not list {conf['count']} members"
    items = [{name: value for name, value in line.items() if name != "member_id"} for line in lines]
    if conf.get("members") not in (None, items):
        yield "the members in its conf are not those in its manifest"


def _each_in_one(gateway: Gateway, expected: Expected, batches: Iterable[Batch]) -> Iterator[str]:
    """Every event that is no marker is a member of one batch, as the manifests have it."""
    members: Counter[tuple[str, int]] = Counter()
    for batch in batches:
        if uri := batch.decision["manifest"]:
            found = (_number(line) for line in _lines(gateway, uri))
            members.update((batch.rule["id"], expected.stands_for.get(n, n)) for n in found)
        elif batch.decision["count"]:
            yield f"{batch.id} of {batch.rule['id']}: no manifest"
    wanted = {
        (piece.rule, expected.stands_for.get(n, n))
        for n, piece in expected.pieces.items()
        if not piece.is_marker
    }
    for rule_id, n in sorted(wanted - members.keys()):
        yield f"lost: event {n} is in no batch of {rule_id}"
    for (rule_id, n), count in sorted(members.items()):
        if (rule_id, n) not in wanted:
            yield f"event {n} is no member of {rule_id}, and in a batch"
        elif count > 1:
            yield f"doubled: event {n} is in {count} batches of {rule_id}"


def _markers(gateway: Gateway, expected: Expected, batches: Mapping[str, Batch]) -> Iterator[str]:
    """Every marker is in the decision about its batch; only one that came after a complete batch may have none."""
    left = {n for n, piece in expected.pieces.items() if piece.is_marker}
    for (rule_id, member_id), n in _numbers(gateway).items():
        if n in left:
            left.remove(n)
            pointer = gateway.feeds.table.items[f"member#{rule_id}#{member_id}", "member"]
            batch = batches.get(pointer["batch_id"]["S"])
            if batch is not None and member_id not in batch.decision["markers"]:
                yield f"lost: {batch.id} of {rule_id} was decided without its marker {n}"
    if left:
        yield f"lost: markers {sorted(left)}"


def _left_over(gateway: Gateway) -> Iterator[str]:
    feeds = gateway.feeds
    if feeds.refused:
        yield f"targets without a run: {feeds.refused[:3]}"
    for (partition, sort), item in feeds.table.items.items():
        if sort == "batch" and (item["state"]["S"] not in ("released", "cancelled") or "due_shard" in item):
            yield f"{partition} is left {item['state']['S']}"


def _late_ones(batches: Iterable[Batch]) -> Iterator[str]:
    """A batch is late if the one before it, of its key, was complete or itself late."""
    before: dict[tuple[str, str], Batch] = {}
    for batch in sorted(batches, key=lambda batch: batch.number):
        last = before.get((batch.rule["id"], batch.key))
        before[batch.rule["id"], batch.key] = batch
        late = bool(batch.key) and last is not None and (last.is_late or last.reason in ("complete", "due"))
        if batch.is_late != late:
            yield f"{batch.id} of {batch.rule['id']} {batch.key}: late is {batch.is_late}, after {last}"


# --- what a rule promises ----------------------------------------------------------------------------------------------


def _seconds(text: str | int | None) -> float | None:
    return text if text is None or isinstance(text, int) else float(text[:-1]) * UNITS[text[-1]]


def _as_promised(batch: Batch, contents: Contents, slack: float, skew: float) -> Iterator[str]:
    """Not too early, not too late, and complete if it is."""
    collect, reason = batch.rule["collect"], batch.reason
    condition = collect.get("complete_when")
    is_complete = not batch.is_late and (condition is None or _complete_at(condition, contents) is not None)
    if batch.decision["is_complete"] != is_complete:
        yield f"complete is {batch.decision['is_complete']}, with {len(contents.distinct)} distinct members"
    if reason not in ("operator", "cancelled"):
        # What the rule asks for is never taken as there by a clock; its patience ends by the clock of who looks.
        by_clock = skew if reason in ("max_wait", "due") else 0.0
        yield from _too_early(batch, contents, slack, by_clock)
    latest = min(_bounds(batch, contents, contents.last_at).values()) + slack
    if batch.decided_at > latest:
        yield f"released {batch.decided_at - latest + slack:.1f} s after its bound, for the reason {reason}"


def _too_early(batch: Batch, contents: Contents, slack: float, by_clock: float) -> Iterator[str]:
    """What the reason asks for was in the batch when the release began, and no member had arrived for the quiet period.

    A member that the look cannot have seen ends no quiet period: one that joined the batch in the same minute. Where there
    are no faults, each that was sent before the release does.
    """
    at, reason = batch.released_at, batch.reason
    there = contents.of(lambda each: each.joined_at <= at)
    if math.isfinite(slack):
        seen = contents.of(lambda each: each.sent_at <= at)
    else:
        seen = contents.of(lambda each: each.joined_at <= at - LONGEST_LOOK)
    earliest = _bounds(batch, there, seen.last_at).get(reason, math.inf) - by_clock
    if at < earliest:
        yield f"released {earliest - at:.3f} s early, for the reason {reason}"


def _left_for_later(batches: Sequence[tuple[Batch, Contents]]) -> Iterator[str]:
    """What was sent before a quiet period had passed is in that batch, or in an earlier one."""
    for batch, contents in batches:
        collect = batch.rule["collect"]
        if batch.reason not in ("quiet_period", "complete") or not (
            batch.is_late or "quiet_period" in collect or "event" in collect["complete_when"]
        ):
            continue
        quiet_at = _bounds(batch, contents, contents.last_at)[batch.reason]
        later = [
            member
            for other, others in batches
            for member in others.members
            if other.number > batch.number and member.sent_at <= quiet_at
        ]
        if later:
            yield f"{batch.id} of {batch.rule['id']}: released early, {len(later)} members were on their way"


def _bounds(batch: Batch, contents: Contents, last_at: float) -> dict[str, float]:
    """When each of the reasons holds, with the last arrival at `last_at`; those that never do are left out."""
    collect = batch.rule["collect"]
    if batch.is_late:
        return {"quiet_period": last_at + LATE_QUIET}
    bounds = {"max_wait": batch.first_at + min(_seconds(collect.get("max_wait")) or LONGEST, LONGEST)}
    condition, quiet = collect.get("complete_when"), _seconds(collect.get("quiet_period"))
    if condition is None:
        if quiet is not None:
            bounds["quiet_period"] = last_at + quiet
    elif (complete_at := _complete_at(condition, contents)) is not None:
        quiet = quiet if quiet is not None else MARKER_QUIET if "event" in condition else 0
        bounds["complete"] = last_at + quiet if quiet else complete_at
    if "complete" not in bounds:
        bounds |= _when_due(batch)
    if (items := collect.get("max_items")) is not None and len(contents.members) >= items:
        bounds["max_items"] = sorted(member.sent_at for member in contents.members)[items - 1]
    return bounds


def _when_due(batch: Batch) -> dict[str, float]:
    """When a batch that is not complete is released or cancelled because it is due."""
    collect = batch.rule["collect"]
    reason = {"release": "due", "cancel": "cancelled"}.get(collect.get("when_due", "report"))
    after = _seconds(collect.get("due", {}).get("after"))
    return {} if reason is None or after is None or batch.is_late else {reason: batch.first_at + after}


def _complete_at(condition: dict[str, Any], contents: Contents) -> float | None:
    """When all was sent that the condition asks for; None if that is not in the batch."""
    first: dict[str, float] = {}
    for member in sorted(contents.members, key=lambda member: member.sent_at):
        first.setdefault(member.piece.distinct, member.sent_at)
    arrived = sorted(first.values())
    if "values" in condition:
        wanted = condition["values"]["all_of"]
        return max(first[value] for value in wanted) if wanted and set(wanted) <= first.keys() else None
    if "count" in condition:
        return arrived[condition["count"] - 1] if len(arrived) >= condition["count"] else None
    if not contents.markers:
        return None
    count = max(marker.piece.count or 0 for marker in contents.markers)
    if len(arrived) < count:
        return None
    return max(min(marker.sent_at for marker in contents.markers), arrived[count - 1] if count else 0.0)
