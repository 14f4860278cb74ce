"""Resolves the targets of a matching rule to trigger requests: identity, environment, DAG, run_id and conf.

    captures      a field that does not have the form of the rule's captures refuses all targets
    dedupe_key    replaces the event's own identity; so does a replay, where the rule says `on_replay: rerun`
    dag_id        filled from the event, within the target's allow-list
    logical_date  filled from the event, and unique for each batch of a key and each generation of a request
    conf          the filled input transformer; a conf over the size limit becomes a claim check if the target allows it

A target that does not resolve is refused with a reason; the gateway never guesses or truncates.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from mwaa_gateway.conf.batch_values import BatchValues
from mwaa_gateway.conf.build import MAXIMUM_CONF_BYTES, build_conf, conf_size, origin_of
from mwaa_gateway.conf.captures import captured
from mwaa_gateway.conf.claim_check import MAXIMUM_CLAIM_CHECK_BYTES, ClaimCheck, claim_check
from mwaa_gateway.conf.input_transformer import ORIGIN_KEY
from mwaa_gateway.conf.text_template import TextTemplate
from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.errors import ConfError, ConfTooLarge
from mwaa_gateway.events import Event
from mwaa_gateway.rules import DedupeKey, Rule, Target
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest, derive_run_id, identity_of
from mwaa_gateway.values import value

MAXIMUM_KEY_CHARACTERS: Final = 1_024
MAXIMUM_PARTITION_KEY_CHARACTERS: Final = 250  # Airflow's own
_SHOWN_CHARACTERS: Final = 100


@value
class Refused:
    """Why an event cannot become a run; `target` is None if this concerns all targets of the rule."""

    reason: DeadEventReason
    text: str
    target: Target | None = None


@value
class Resolved:
    """A trigger request; if it has a claim check, store that in the bucket before you enqueue the request."""

    request: TriggerRequest
    claim_check: ClaimCheck | None = None


def resolve(
    event: Event, rule: Rule, *, now: float, claim_check_bucket: str = ""
) -> Iterator[Resolved | Refused]:
    """Yield the trigger request, or the refusal, of each target of a matching rule.

    The same event and rule always give the same run_ids. `now` is in seconds since the epoch. `claim_check_bucket` is the
    bucket for large confs, "" if there is none.
    """
    try:
        pieces = captured(rule.captures, event.envelope)
    except ConfError as error:
        yield Refused(DeadEventReason.CAPTURES_REFUSED, str(error))
        return
    try:
        identity = identity_in(event, rule, pieces)
    except ConfError as error:
        yield Refused(DeadEventReason.DEDUPE_KEY_REFUSED, str(error))
        return
    yield from resolve_targets(event, rule, pieces, identity, now=now, claim_check_bucket=claim_check_bucket)


def resolve_targets(
    event: Event,
    rule: Rule,
    pieces: Mapping[str, str],
    identity: str,
    *,
    batch: BatchValues | None = None,
    now: float,
    claim_check_bucket: str = "",
) -> Iterator[Resolved | Refused]:
    """Yield the trigger request, or the refusal, of each target.

    `identity` names the event, `pieces` are its captures; for the event of a `batch`, the parts of its key.
    """
    for target in rule.targets:
        try:
            dag_id = _dag_id(event, target, pieces)
        except ConfError as error:
            yield Refused(DeadEventReason.DAG_ID_REFUSED, str(error), target)
            continue
        run_id = derive_run_id(identity, rule.id, target.id)
        large = bool(claim_check_bucket) and target.large_conf == "claim_check"
        try:
            conf = build_conf(
                target,
                event,
                origin_of(event, rule_id=rule.id, rule_version=rule.version, target_id=target.id),
                pieces,
                batch=batch,
                now=now,
                maximum_bytes=MAXIMUM_CLAIM_CHECK_BYTES if large else MAXIMUM_CONF_BYTES,
            )
            logical_date = _logical_date(event, target, pieces, batch.facts["number"] if batch else 1)
            partition_key = _partition_key(event, target, pieces)
        except ConfError as error:
            too_large = isinstance(error, ConfTooLarge)
            reason = DeadEventReason.CONF_TOO_LARGE if too_large else DeadEventReason.CONF_NOT_MADE
            yield Refused(reason, str(error), target)
            continue
        check = None
        if large and conf_size(conf) > MAXIMUM_CONF_BYTES:
            conf, check = claim_check(
                conf, bucket=claim_check_bucket, environment=target.environment, run_id=run_id
            )
        yield Resolved(
            TriggerRequest(
                identity=identity,
                event=event.envelope,
                rule_id=rule.id,
                rule_version=rule.version,
                target_id=target.id,
                target=ResolvedTarget(
                    environment=target.environment,
                    dag_id=dag_id,
                    run_id=run_id,
                    conf=conf,
                    logical_date=logical_date,
                    partition_key=partition_key,
                ),
                maximum_event_age_seconds=rule.maximum_event_age_seconds,
                requested_at=now,
                when_paused=target.when_paused,
            ),
            check,
        )


def of_generation(request: TriggerRequest, generation: int) -> TriggerRequest:
    """Return the request for another run of the same event: its run_id and the origin in its conf name the generation.

    A logical date moves by a millisecond for each generation: Airflow refuses a second run of the same one.
    """
    if not generation:
        return request
    conf, logical_date = request.target.conf, request.target.logical_date
    if logical_date is not None:
        moved = datetime.fromisoformat(logical_date) + timedelta(milliseconds=generation)
        logical_date = moved.isoformat()
    if isinstance(origin := conf.get(ORIGIN_KEY), Mapping):
        conf = {**conf, ORIGIN_KEY: {**origin, "generation": generation}}
    run_id = derive_run_id(request.identity, request.rule_id, request.target_id, generation)
    target = replace(request.target, run_id=run_id, conf=conf, logical_date=logical_date)
    return replace(request, generation=generation, target=target)


def identity_in(event: Event, rule: Rule, pieces: Mapping[str, str]) -> str:
    """Return what makes two events the same for a rule: its dedupe_key, its on_replay, or the event's own identity.

    Raises:
        ConfError: The event lacks a value of the dedupe_key.
    """
    identity = event.identity
    if rule.dedupe_key is not None:
        identity = _key_identity(event, rule.id, rule.dedupe_key, pieces)
    replay = event.envelope.get("replay-name")
    if rule.on_replay == "rerun" and isinstance(replay, str) and replay:
        identity = identity_of("replay", replay, identity)
    return identity


def _key_identity(event: Event, rule_id: str, key: DedupeKey, pieces: Mapping[str, str]) -> str:
    parts = [part.fill(event.envelope, pieces) for part in key.parts]
    if (characters := sum(map(len, parts))) > MAXIMUM_KEY_CHARACTERS:
        raise ConfError(
            f"the dedupe_key has {characters} characters for this event; at most {MAXIMUM_KEY_CHARACTERS} are allowed: name "
            "shorter values"
        )
    window = ""
    if key.window_seconds is not None:
        # The event's own time, never a clock: a delivery a day later falls into the same window.
        start = _event_time(event) // key.window_seconds * key.window_seconds
        window = f"{start:.0f}+{key.window_seconds}"
    return identity_of("key", rule_id, window, *parts)


def _event_time(event: Event) -> float:
    try:
        moment: datetime | None = datetime.fromisoformat(str(event.envelope["time"]))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfError(
            "the event's time must be a date and time with an offset, such as 2026-11-22T10:00:00Z: the window of the "
            "dedupe_key depends on it"
        )
    return moment.timestamp()


def _dag_id(event: Event, target: Target, pieces: Mapping[str, str]) -> str:
    if target.dag_id_template is None:
        return target.dag_id
    dag_id = _filled(event, target, target.dag_id_template, pieces)
    if not target.allows(dag_id):
        shown = repr(dag_id[:_SHOWN_CHARACTERS])
        raise ConfError(
            f"dag_id {target.dag_id!r} of target {target.id!r} is {shown} for this event, which is not in "
            "allowed_dag_ids; add it there, or exclude such events in the rule's pattern"
        )
    return dag_id


def _logical_date(event: Event, target: Target, pieces: Mapping[str, str], number: int) -> str | None:
    """Return the run's logical date; for the second batch of a key a microsecond later, and so on.

    A date without a time is its midnight, and without an offset UTC.
    """
    if target.logical_date is None:
        return None
    text = _filled(event, target, target.logical_date, pieces, field="logical_date")
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        return (moment + timedelta(microseconds=number - 1)).isoformat()
    except (ValueError, OverflowError) as error:
        raise ConfError(
            f"logical_date of target {target.id!r} is {text[:_SHOWN_CHARACTERS]!r} for this event, which is no date; name a "
            "date or a time, such as 2026-11-22 or 2026-11-22T06:00+01:00"
        ) from error


def _partition_key(event: Event, target: Target, pieces: Mapping[str, str]) -> str | None:
    if target.partition_key is None:
        return None
    text = _filled(event, target, target.partition_key, pieces, field="partition_key")
    if not text.strip() or len(text) > MAXIMUM_PARTITION_KEY_CHARACTERS:
        raise ConfError(
            f"partition_key of target {target.id!r} is {text[:_SHOWN_CHARACTERS]!r} for this event; Airflow allows at most "
            f"{MAXIMUM_PARTITION_KEY_CHARACTERS} characters, and not spaces alone: name a shorter value"
        )
    return text


def _filled(
    event: Event, target: Target, template: TextTemplate, pieces: Mapping[str, str], *, field: str = "dag_id"
) -> str:
    paths = target.input_transformer.paths if target.input_transformer else {}
    try:
        return template.fill(event.envelope, pieces, paths)
    except ConfError as error:
        raise ConfError(f"{field} of target {target.id!r}: {error}") from error
