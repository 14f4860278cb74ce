"""The case of a subject that neither the log nor the tables have: never received, or not known."""

import shlex
from typing import Final

from gateway_cli.answers.case import Case
from gateway_cli.answers.events import send_upload
from gateway_cli.answers.evidence import Evidence
from gateway_cli.answers.states import Remedy, State
from gateway_cli.answers.words import count, cut, when

_ARRIVING_SECONDS: Final = 60.0  # an upload as new as this may still be on its way


def nothing_found_case(evidence: Evidence) -> Case:
    """Return why there is no answer, with what S3 says of an upload."""
    subject, now = evidence.subject, evidence.now
    since = f"since {when(evidence.searched_since, now)}"
    if evidence.lines:
        last = evidence.lines[-1]
        return Case(
            state=State.NOT_KNOWN,
            sentence=f"Not known: the last line about it is {last.outcome}, {when(last.at, now)}: {cut(last.message)}.",
            remedy=Remedy("See the time line, and ask again.", _ask(subject.value)),
        )
    if not evidence.log_searched:
        return Case(
            state=State.NOT_KNOWN,
            sentence=f"Not known: the log could not be searched for {subject.value}.",
            remedy=Remedy("See below what could not be read, and ask again.", _ask(subject.value)),
        )
    if subject.field in ("run_id", "batch_id", "identity"):
        return _search_longer(f"Not known: the log {since} has no line of {subject.value}.", subject.value)
    upload = evidence.upload
    if upload is not None and upload.uploaded_at is not None and upload.uploaded_at < evidence.searched_since:
        return _search_longer(
            f"Not known: the object was uploaded {when(upload.uploaded_at, now)}, before the search began.",
            subject.value,
        )
    if evidence.log_level not in ("DEBUG", "INFO"):
        return Case(
            state=State.NOT_KNOWN,
            sentence=(
                f"Not known: the log {since} has no event {subject.value}, and LogLevel {evidence.log_level} leaves out "
                "most of the trail."
            ),
            remedy=Remedy("Set the parameter LogLevel to INFO for the next time.", "mwaa-gateway status"),
        )
    if evidence.log_unmatched != "all":
        sentence = (
            f"Not known: the log {since} has no event {subject.value}, and events that no rule matches leave "
            f"{'no line' if evidence.log_unmatched == 'none' else 'a line only sometimes'} (LogUnmatched is "
            f"{evidence.log_unmatched})."
        )
        remedy = Remedy(
            "Set the parameter LogUnmatched to all for the next time; try the event on the rules now."
            if subject.is_upload
            else "Set the parameter LogUnmatched to all for the next time.",
            f"{send_upload(subject.value)} --dry-run" if subject.is_upload else "",
        )
        return Case(state=State.NOT_KNOWN, sentence=sentence, remedy=remedy)
    sentence = f"Never received: the log {since} has no event {subject.value}."
    if not subject.is_upload:
        advice = (
            "Check that the sender sends to this gateway's bus, topic or queue, in this region and account, and that the id "
            "is the sender's: ids are case-sensitive. The status shows whether the gateway receives anything."
        )
        return Case(
            state=State.NEVER_RECEIVED, sentence=sentence, remedy=Remedy(advice, "mwaa-gateway status")
        )
    found, advice, command = _upload_checks(evidence)
    return Case(
        state=State.NEVER_RECEIVED,
        sentence=f"{sentence}{found}",
        remedy=Remedy(advice, command),
    )


def _ask(value: str) -> str:
    return f"mwaa-gateway why {shlex.quote(value)}"


def _search_longer(sentence: str, value: str) -> Case:
    remedy = Remedy(
        "Search a longer time; the log keeps lines for the parameter LogRetentionDays. What is dead or held is also in "
        "`dlq list` and `held list`.",
        f"{_ask(value)} --since 30d",
    )
    return Case(state=State.NOT_KNOWN, sentence=sentence, remedy=remedy)


def _upload_checks(evidence: Evidence) -> tuple[str, str, str]:
    """Return what S3 says, what to check, and the command for it."""
    upload, bucket = evidence.upload, evidence.subject.value.removeprefix("s3://").partition("/")[0]
    send, ask = send_upload(evidence.subject.value), _ask(evidence.subject.value)
    folder = shlex.quote(evidence.subject.value.rpartition("/")[0] + "/")
    sends_now = (
        f"To start its run now, send its event by hand; `mwaa-gateway reconcile {folder}` finds the files beside it that "
        "started nothing."
    )
    if upload is None:
        checks = (
            f"Check that the key is exact (keys are case-sensitive), that bucket {bucket} sends to EventBridge or has a "
            "notification to this gateway, that the notification's prefix and suffix admit the key, and that the bucket is "
            "in this region."
        )
        return "", f"{checks} {sends_now}", send
    if upload.region:
        return (
            f" Bucket {bucket} is in {upload.region}, and the gateway in {evidence.region}.",
            f"S3 notifies only within its region: forward the bucket's events with an EventBridge rule. {sends_now}",
            send,
        )
    if upload.exists is False:
        return (
            " S3 has no such object either.",
            "Check the key: keys are case-sensitive. If the object was deleted since, its upload was never received.",
            "mwaa-gateway status",
        )
    if upload.uploaded_at is not None and evidence.now - upload.uploaded_at < _ARRIVING_SECONDS:
        return f" It was uploaded {when(upload.uploaded_at, evidence.now)}.", "Ask again in a minute.", ask
    if upload.sends_to_eventbridge is False and not upload.notifies:
        return (
            f" Bucket {bucket} sends no events: neither to EventBridge nor by notification.",
            f"Switch EventBridge on for the bucket, or add a notification (docs/sources.md). {sends_now}",
            send,
        )
    if upload.sends_to_eventbridge is False:
        return (
            f" Bucket {bucket} does not send to EventBridge; it has {count(upload.notifies or 0, 'notification')}.",
            f"Check that one of them goes to this gateway and admits the key and the event type. {sends_now}",
            send,
        )
    if upload.sends_to_eventbridge:
        return (
            f" Bucket {bucket} sends to EventBridge.",
            f"Check that the bus rule that forwards to the gateway is enabled and admits the object. {sends_now}",
            send,
        )
    return (
        "",
        f"Check that bucket {bucket} sends to EventBridge, or notifies this gateway of the key. {sends_now}",
        send,
    )
