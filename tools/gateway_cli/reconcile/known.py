"""What the gateway knows: the ledger's rows and the batches' members, read once and held against the wants.

Neither table has an index on objects, so both are read whole, consistently, page by page.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway_cli.ledger_rows import request_of
from gateway_cli.reconcile.state import Row, State
from mwaa_gateway.aws.dynamodb.batches import pointer_of
from mwaa_gateway.aws.dynamodb.object_claims import CLAIM_SORT, CLAIMS, MEMBER_CLAIMS
from mwaa_gateway.aws.dynamodb.values import Item, text
from mwaa_gateway.dispatch.s3_objects import Upload, read_claims

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_STATES: Final = {"open": "waiting", "triggered": "ran", "dead": "dead", "held": "held"}
_SAME_BYTES: Final = (
    "an upload of the same bytes at about this time has run, and its event does not say of which version"
)


@dataclass(frozen=True, slots=True)
class TablePage:
    """Some items of a table, how many were read for them, and where the next page begins; None after the last one."""

    items: Sequence[Item]
    read: int
    next: Item | None


def pages(client: "DynamoDBClient", table: str, kind: str, begin: Item | None) -> Iterator[TablePage]:
    """Yield the pages of the ledger or the batches table, from where a page said that the next one begins."""
    while True:
        start: Any = {} if begin is None else {"ExclusiveStartKey": begin}
        answer = client.scan(TableName=table, ConsistentRead=True, **_OPTIONS[kind], **start)
        begin = answer.get("LastEvaluatedKey")
        yield TablePage(answer["Items"], answer["ScannedCount"], begin)
        if begin is None:
            return


_OPTIONS: Final[Mapping[str, Any]] = {
    "ledger": {
        "FilterExpression": "attribute_exists(request_body) OR attribute_exists(#claims)",
        "ProjectionExpression": "#event, #request, #state, run_id, reason, request_body, #claims",
        "ExpressionAttributeNames": {
            "#event": "event",
            "#request": "request",
            "#state": "state",
            "#claims": CLAIMS,
        },
    },
    "batches": {
        "FilterExpression": "begins_with(#partition, :member) OR begins_with(#partition, :object)",
        "ExpressionAttributeNames": {"#partition": "partition"},
        "ExpressionAttributeValues": {":member": {"S": "member#"}, ":object": {"S": MEMBER_CLAIMS}},
    },
}


def recognise(state: State, kind: str, items: Sequence[Item]) -> None:
    """Note in the state what these items say about its wants."""
    learn: Callable[[State, Item], None] = _in_ledger if kind == "ledger" else _in_batches
    for item in items:
        learn(state, item)


def _in_ledger(state: State, item: Item) -> None:
    rule_id, _, rest = text(item, "request").partition("#")
    target_id, _, last = rest.rpartition("#")
    if last == CLAIM_SORT:
        _by_claim(state, item, text(item, "event"), rule_id, target_id)
        return
    request = request_of(item)
    if request is None:
        state.count("unreadable")
        return
    known = _STATES.get(text(item, "state"), "waiting")
    why = text(item, "reason") if known in ("dead", "held") else ""
    for want in state.of_row(text(item, "event"), rule_id, target_id):
        state.learn(want, known, why)
    upload = Upload.of_event(request.event)
    if upload is not None:
        wants = [want for want in state.of_key(upload.key, rule_id) if want.target_id in ("", target_id)]
        _by_upload(state, wants, upload, known, why)


def _in_batches(state: State, item: Item) -> None:
    partition = text(item, "partition")
    if partition.startswith(MEMBER_CLAIMS):
        _, rule_id, name = partition.split("#")
        _by_claim(state, item, name, rule_id, "")
        return
    pointer = pointer_of(item)
    for want in state.of_row(pointer.member.id, pointer.rule_id, ""):
        state.learn(want, "collected", pointer.batch_id)
    upload = Upload.of_item(pointer.member.item)
    if upload is not None:
        _by_upload(state, state.of_key(upload.key, pointer.rule_id), upload, "collected", pointer.batch_id)


def _by_claim(state: State, item: Item, name: str, rule_id: str, target_id: str) -> None:
    claims = read_claims(text(item, CLAIMS))
    started = {claim.modified for claim in claims if claim.state == "started"}
    for want in state.of_name(name, rule_id, target_id):
        if want.listed.modified in started:
            state.learn(want, "sent")


def _by_upload(state: State, wants: Sequence[Row], upload: Upload, known: str, why: str) -> None:
    for want in wants:
        match want.listed.is_of(upload) if want.is_own else "no":
            case "yes":
                state.learn(want, known, why)
            case "unsure":
                state.learn(want, "unsure", _SAME_BYTES)
