"""Looks at batches from outside: runs and manifests, when each event was sent, and what the rules promise about it."""

import gzip
import json
import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mwaa_gateway.dead_events import LATE_MEMBER
from mwaa_gateway.routing.members import SHADOW_SUFFIX
from simulation.airflow import Run
from simulation.feeds import SentMember
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
    """One batch, and the rule that it follows; `feed` is the id under which that collects.

    `released_at` and `decided_at`: when its release began, and was decided.
    """

    id: str
    feed: str
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
        yield from _versions(gateway, batch)
    yield from _notices(gateway, batches.values())
    yield from _each_in_one(gateway, expected, batches.values(), slack)
    yield from _markers(gateway, expected, batches)
    yield from _late_ones(batches.values())
    of_keys: defaultdict[tuple[str, str], list[tuple[Batch, Contents]]] = defaultdict(list)
    for batch, contents in _all_contents(gateway, expected, batches.values()):
        of_keys[batch.feed, batch.key].append((batch, contents))
        for problem in _as_promised(batch, contents, slack, gateway.world.clock_skew):
            yield f"{batch.id} of {batch.feed} {batch.key}: {problem}"
    if math.isfinite(slack):
        for some in of_keys.values():
            yield from _left_for_later(some)


def _all_contents(
    gateway: Gateway, expected: Expected, batches: Iterable[Batch]
) -> Iterator[tuple[Batch, Contents]]:
    """What each batch with a manifest has."""
    sent, joined, numbers = gateway.feeds.sent(), gateway.feeds.joined, _numbers(gateway)

    def member(rule_id: str, member_id: str) -> Joined:
        key = rule_id, member_id
        return Joined(expected.pieces[numbers[key]], sent[key].sent_at, joined[key])

    for batch in batches:
        if batch.decision["manifest"]:
            members = [member(batch.feed, line["member_id"]) for line in _members(gateway, batch)]
            yield (
                batch,
                Contents(members, [member(batch.feed, marker) for marker in batch.decision["markers"]]),
            )


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
                content["rule_id"],
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


def _members(gateway: Gateway, batch: Batch) -> Iterator[dict[str, Any]]:
    """The members of a batch: those in its manifest, and those that a later version of their object replaces."""
    for uri in filter(None, (batch.decision["manifest"], batch.decision["superseded"])):
        yield from _lines(gateway, uri)


def _runs_of(gateway: Gateway, batch: Batch, runs: Sequence[RunOfBatch]) -> Iterator[str]:
    """One run for each target, with the manifest of the decision: stored before the run was created."""
    name = f"{batch.id} of {batch.feed}"
    is_asked = batch.id in gateway.feeds.asked
    if batch.reason in ("operator", "cancelled") and not is_asked and "cancelled" not in _when_due(batch):
        yield f"{name}: {batch.reason}, and no operator said so"
    wanted = Counter(target["id"] for target in batch.rule["targets"])
    if batch.reason == "cancelled" or not batch.decision["count"] or batch.rule.get("state") == "SHADOW":
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


def _notices(gateway: Gateway, batches: Iterable[Batch]) -> Iterator[str]:
    """The bus has an event about each batch that became runs, and none about the others."""
    found = {
        json.loads(entry["Detail"])["id"]
        for entry in gateway.feeds.bus
        if entry["DetailType"] == "Batch Released"
    }
    wanted = {
        batch.id
        for batch in batches
        if batch.decision["count"] and batch.reason != "cancelled" and batch.rule.get("state") != "SHADOW"
    }
    if found != wanted:
        yield f"Batch Released is wrong, or missing, about {sorted(found ^ wanted)[:3]}"


def _versions(gateway: Gateway, batch: Batch) -> Iterator[str]:
    """Of an object that was written twice, the manifest lists the latest version in the batch, if the rule says so."""
    manifest, superseded = batch.decision["manifest"], batch.decision["superseded"]
    if batch.rule["collect"].get("versions") != "latest":
        if superseded:
            yield f"{batch.id} of {batch.feed}: leaves out versions, and its rule does not say so"
        return
    listed: defaultdict[str, list[int]] = defaultdict(list)
    for line in _lines(gateway, manifest) if manifest else ():
        listed[line["uri"]].append(_number(line))
    older = [(line["uri"], _number(line)) for line in (_lines(gateway, superseded) if superseded else ())]
    if any(len(versions) > 1 for versions in listed.values()):
        yield f"{batch.id} of {batch.feed}: its manifest lists an object twice"
    if not all(n < max(listed[uri], default=0) for uri, n in older):
        yield f"{batch.id} of {batch.feed}: leaves out the latest version"


def _each_in_one(
    gateway: Gateway, expected: Expected, batches: Collection[Batch], slack: float
) -> Iterator[str]:
    """Every event that is no marker is a member of one batch, as the manifests have it, or is late and dropped."""
    members: Counter[tuple[str, int]] = Counter()
    for batch in batches:
        found = (_number(line) for line in _members(gateway, batch))
        members.update((batch.feed, expected.stands_for.get(n, n)) for n in found)
        if batch.decision["count"] and not batch.decision["manifest"]:
            yield f"{batch.id} of {batch.feed}: no manifest"
    wanted = {
        (piece.rule, expected.stands_for.get(n, n)): piece
        for n, piece in expected.pieces.items()
        if not piece.is_marker
    }
    late = _Late(gateway, expected, batches, slack)
    for feed, n in sorted(wanted.keys() - members.keys()):
        yield from late.problems(feed, n, wanted[feed, n].key)
    for (feed, n), count in sorted(members.items()):
        if (feed, n) not in wanted:
            yield f"event {n} is no member of {feed}, and in a batch"
        elif count > 1:
            yield f"doubled: event {n} is in {count} batches of {feed}"
    # Of two deliveries in the moment of a release one may be counted, and the other be late.
    for feed, n in sorted(late.dead):
        if (feed, n) not in wanted or not late.may_be(feed, n, wanted[feed, n].key):
            yield f"event {n} of {feed} is a dead letter, and not late"


class _Late:
    """Members that are in no batch, because they came after the release of a batch that was complete or due.

    `dead` are those on the ingress dead-letter queue.
    """

    def __init__(self, gateway: Gateway, expected: Expected, batches: Iterable[Batch], slack: float) -> None:
        self._slack = slack
        self._sent: defaultdict[tuple[str, int], list[SentMember]] = defaultdict(list)
        self._reported: set[tuple[str, int]] = set()
        for (feed, member_id), sent in gateway.feeds.sent().items():
            n = _number(sent.item)
            self._sent[feed, expected.stands_for.get(n, n)].append(sent)
            if (feed, member_id) in gateway.feeds.late:
                self._reported.add((feed, expected.stands_for.get(n, n)))
        self.dead: set[tuple[str, int]] = set()
        for message in gateway.queues["ingress-dlq"].messages.values():
            letter = json.loads(message.body)
            if letter.get("reason") == LATE_MEMBER:
                n = _number(letter["member"]["item"])
                self.dead.add((letter["rule_id"], expected.stands_for.get(n, n)))
        documents = [
            json.loads(item["document"]["S"]) for item in gateway.rules.items.values() if "document" in item
        ]
        self._policies = {
            rule["id"] + SHADOW_SUFFIX * (rule.get("state") == "SHADOW"): rule["collect"].get(
                "late", "new_batch"
            )
            for rule in documents
            if "collect" in rule
        }
        self._released: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for batch in batches:
            if batch.is_late or batch.reason in ("complete", "due"):
                self._released[batch.feed, batch.key].append(batch.released_at)

    def problems(self, feed: str, n: int, key: str) -> Iterator[str]:
        """What is wrong about a member in no batch."""
        policy = self._policies.get(feed, "new_batch")
        if policy == "new_batch":
            yield f"lost: event {n} is in no batch of {feed}"
        elif not self.may_be(feed, n, key):
            yield f"lost: event {n} is in no batch of {feed}, and not late"
        elif (feed, n) not in self._reported:
            yield f"lost: nobody reports event {n} as late in {feed}"
        elif policy == "dead_letter" and (feed, n) not in self.dead:
            yield f"lost: event {n} of {feed} is late, and no dead letter"

    def may_be(self, feed: str, n: int, key: str) -> bool:
        """Whether a delivery of the member was still on its queue when a batch of its key was released."""
        first_at = min((released_at for released_at in self._released[feed, key]), default=math.inf)
        return any(
            sent.deleted_at > first_at and sent.sent_at > first_at - self._slack
            for sent in self._sent[feed, n]
        )


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
        last = before.get((batch.feed, batch.key))
        before[batch.feed, batch.key] = batch
        late = bool(batch.key) and last is not None and (last.is_late or last.reason in ("complete", "due"))
        if batch.is_late and batch.rule["collect"].get("late", "new_batch") != "new_batch":
            yield f"{batch.id} of {batch.feed} {batch.key}: a late batch, and its rule drops late members"
        if batch.is_late != late:
            yield f"{batch.id} of {batch.feed} {batch.key}: late is {batch.is_late}, after {last and last.reason}"


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
            yield f"{batch.id} of {batch.feed}: released early, {len(later)} members were on their way"


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
    of_parts: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for member in sorted(contents.members, key=lambda member: member.sent_at):
        first.setdefault(member.piece.distinct, member.sent_at)
        of_parts[member.piece.part].setdefault(member.piece.distinct, member.sent_at)
    arrived = sorted(first.values())
    if "parts" in condition:
        asked = ((name, part.get("at_least", 1)) for name, part in condition["parts"].items())
        there = sorted(
            sorted(of_parts[name].values())[count - 1]
            for name, count in asked
            if len(of_parts[name]) >= count
        )
        require = condition.get("require", len(condition["parts"]))
        return there[require - 1] if len(there) >= require else None
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
