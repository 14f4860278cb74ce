"""The watches in DynamoDB: one item each in the ledger table, beside the row of the request they wait for.

    key       event = the request's, request = "watch|<rule>#<target>"; `ledger_request` is the sort key of the request's row
    waiting   watched_in = "watch#<environment>", which puts it into the index `watches`, with every attribute but the token
    decided   `ending` is set too, and contains the time
    closed    no watched_in and no sealed_token; `said` is the reason; DynamoDB's TTL removes it after 90 days

Every change names its token: one that is meant for an earlier token changes nothing.
"""

import json
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from mwaa_gateway.aws.dynamodb.ledger_items import REMEMBERED_SECONDS
from mwaa_gateway.aws.dynamodb.values import Item, attributes, ledger_key, text
from mwaa_gateway.aws.errors import refused_item, unavailable_unless_answered
from mwaa_gateway.aws.task_callbacks import TokenCipher
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import Reason
from mwaa_gateway.step_functions.task_call import TaskCall, Token, Wait
from mwaa_gateway.step_functions.watches import (
    Ending,
    ExecutionOver,
    Failed,
    IdentityTaken,
    Opened,
    RequestState,
    Succeeded,
    TokenClosed,
    UnreadableWatch,
    Watch,
)
from mwaa_gateway.trigger_request import TriggerRequest, derive_run_id

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WATCHES_INDEX: Final = "watches"  # partition watched_in, sort since
_SORT_PREFIX: Final = "watch|"
_EXECUTION_OVER: Final = "ExecutionOver"
_RACES: Final = 5  # lost in a row against other calls for the same watch
_KEYS_PER_READ: Final = 100  # DynamoDB's limit
_READING_SECONDS: Final = 10.0  # then no read follows a failed one: botocore tries each for up to 20 s
_FAILED_READS: Final = 40  # per call of `requests`: enough to find five bad keys
_TOKENS_IN_MEMORY: Final = 2_000

# The errors of reading an item that somebody edited, or a newer version wrote.
_UNREADABLE: Final = (AttributeError, KeyError, TypeError, ValueError)


class WatchItems:
    """Implements `mwaa_gateway.step_functions.watches.WatchStore`; `now` returns seconds since the epoch."""

    def __init__(
        self, client: "DynamoDBClient", table: str, cipher: TokenCipher, *, now: Callable[[], float]
    ) -> None:
        self._client = client
        self._table = table
        self._cipher = cipher
        self._now = now
        self._tokens: OrderedDict[str, Token] = OrderedDict()  # by mark: a heartbeat needs no call to KMS

    def open(self, call: TaskCall, request: TriggerRequest, now: float) -> Opened | IdentityTaken:
        """Open a watch on the run of this request or of a later generation, or continue it with a new token."""
        if call.token is None or call.wait is None:
            raise ValueError("a call without a token does not wait")
        event, _ = request.ledger_key
        key = _key(event, f"{request.rule_id}#{request.target_id}")
        sealed = self._cipher.encrypt(call.token, _context(event))
        waiting = _waiting(call, call.wait, call.token.mark, sealed, now)
        for _ in range(_RACES):
            item = self._get(key)
            if item is None:
                first = _first(request, now)
                if self._put(key | first | waiting, instead_of=None):
                    return _opened(first)
                continue
            if item["token_mark"]["S"] == call.token.mark:
                return _opened(item)  # the same call again
            if "watched_in" in item and "ending" not in item and not call.is_retry:
                return IdentityTaken()
            followed = _followed(item, call.wait, request, now)
            if self._put(key | followed | waiting, instead_of=item):
                return _opened(followed)
        raise Unavailable("other calls change the watch at every try")

    def watched(self, environment: str) -> list[Watch | UnreadableWatch]:
        """Return every open watch, oldest first; an unreadable one hides no other."""
        found: list[Watch | UnreadableWatch] = []
        with unavailable_unless_answered("cannot list the watches"):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                IndexName=WATCHES_INDEX,
                KeyConditionExpression="watched_in = :watched_in",
                ExpressionAttributeValues=attributes({":watched_in": f"watch#{environment}"}),
            )
            for page in pages:
                found.extend(_read_watch(item) for item in page["Items"])
        return found

    def requests(self, watches: Sequence[Watch]) -> Mapping[tuple[str, str], RequestState]:
        """Return the ledger's state of the watches' requests; `unreadable` if a row could not be read.

        A failed batch is read again in two halves, after all other batches: one bad key among a hundred costs eight failed
        calls, and the other keys still get their answers. The reads stop after many failures, or when they take too long.
        """
        states: dict[tuple[str, str], RequestState] = {}
        failures: list[str] = []
        batches = deque(_batches([watch.ledger_key for watch in watches]))
        until = self._now() + _READING_SECONDS
        while batches:
            keys = batches.popleft()
            if failures and (len(failures) >= _FAILED_READS or self._now() > until):
                text = f"the request's row was not read, because other reads failed: {failures[-1]}"
                states |= dict.fromkeys(keys, RequestState("unreadable", text=text))
                continue
            try:
                items, left = self._rows(keys)
            except Unavailable as error:
                failures.append(str(error))
                if len(keys) == 1:
                    states[keys[0]] = RequestState("unreadable", text=str(error))
                else:
                    batches.extend((keys[: len(keys) // 2], keys[len(keys) // 2 :]))
                continue
            states |= {(item["event"]["S"], item["request"]["S"]): _request_state(item) for item in items}
            if left:
                batches.append(left)
        return states

    def _rows(self, keys: Sequence[tuple[str, str]]) -> tuple[Sequence[Item], Sequence[tuple[str, str]]]:
        """Return the rows of these keys that exist, and the keys that DynamoDB leaves for another call."""
        request: Any = {
            self._table: {
                "Keys": [ledger_key(*key) for key in keys],
                "ProjectionExpression": "event, #request, #state, reason, reason_text, not_runnable",
                "ExpressionAttributeNames": {"#request": "request", "#state": "state"},
            }
        }
        with unavailable_unless_answered("cannot read the ledger"):
            answer: Any = self._client.batch_get_item(RequestItems=request)
        unprocessed = answer.get("UnprocessedKeys", {}).get(self._table, {"Keys": []})["Keys"]
        if len(unprocessed) == len(keys):
            raise Unavailable("cannot read the ledger: DynamoDB processed none of the keys")
        left = [(key["event"]["S"], key["request"]["S"]) for key in unprocessed]
        return answer["Responses"].get(self._table, ()), left

    def record_ending(self, watch: Watch, ending: Ending) -> bool:
        """Record how the wait ends, before the state is answered."""
        written = _ending_text(ending, self._now())
        with unavailable_unless_answered("cannot record how the run ended"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=self._key_of_watch(watch),
                    UpdateExpression="SET ending = :ending",
                    ConditionExpression="token_mark = :mark AND attribute_exists(watched_in)"
                    " AND attribute_not_exists(ending)",
                    ExpressionAttributeValues=attributes({":ending": written, ":mark": watch.token_mark}),
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                # Botocore may send our own write again, after its first answer was lost.
                old = refused_item(refused)
                ours = attributes({"ending": written, "token_mark": watch.token_mark})
                return "watched_in" in old and ours.items() <= old.items()
        return True

    def token(self, watch: Watch) -> Token:
        """Return the decrypted token; raises TokenClosed if the watch is closed or has a newer token."""
        if (known := self._tokens.get(watch.token_mark)) is not None:
            return known
        item = self._get(self._key_of_watch(watch))
        if item is None or "sealed_token" not in item or item["token_mark"]["S"] != watch.token_mark:
            raise TokenClosed("the watch is closed")
        token = self._cipher.decrypt(bytes(item["sealed_token"]["B"]), _context(watch.ledger_key[0]))
        self._tokens[watch.token_mark] = token
        while len(self._tokens) > _TOKENS_IN_MEMORY:
            self._tokens.popitem(last=False)
        return token

    def close(self, watch: Watch, note: str) -> None:
        """Delete the token and close the watch, unless it has a newer token."""
        self._tokens.pop(watch.token_mark, None)
        now = self._now()
        with unavailable_unless_answered("cannot close the watch"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=self._key_of_watch(watch),
                    UpdateExpression="SET said = :said, closed_at = :now, expires_at = :expires_at"
                    " REMOVE watched_in, sealed_token",
                    ConditionExpression="token_mark = :mark",
                    ExpressionAttributeValues=attributes(
                        {
                            ":said": note,
                            ":now": now,
                            ":expires_at": int(now) + REMEMBERED_SECONDS,
                            ":mark": watch.token_mark,
                        }
                    ),
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return  # a retry of the state waits now

    def _get(self, key: Item) -> Item | None:
        with unavailable_unless_answered("cannot read the watch"):
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    def _put(self, item: Item, *, instead_of: Item | None) -> bool:
        """Write the whole item; False if the table has another one than `instead_of` by now."""
        request: Any = {"TableName": self._table, "Item": item}
        if instead_of is None:
            request["ConditionExpression"] = "attribute_not_exists(event)"
        else:
            request["ConditionExpression"] = "token_mark = :mark"
            request["ExpressionAttributeValues"] = {":mark": instead_of["token_mark"]}
        with unavailable_unless_answered("cannot write the watch"):
            try:
                self._client.put_item(**request)
            except self._client.exceptions.ConditionalCheckFailedException:
                # Also after our own write, if its answer was lost: the next read finds our token
                return False
        return True

    def _key_of_watch(self, watch: Watch) -> Item:
        event, request = watch.ledger_key
        return _key(event, request.rpartition("#")[0])


def _key(event: str, rule_and_target: str) -> Item:
    return ledger_key(event, _SORT_PREFIX + rule_and_target)


def _context(event: str) -> dict[str, str]:
    return {"gateway": "watch", "event": event}


def _first(request: TriggerRequest, now: float, generation: int = 0) -> Item:
    """Return the attributes of the watched run: the run of this generation of the request."""
    run_id = derive_run_id(request.identity, request.rule_id, request.target_id, generation)
    return attributes(
        {
            "environment": request.target.environment,
            "watched_in": f"watch#{request.target.environment}",
            "dag_id": request.target.dag_id,
            "run_id": run_id,
            "generation": generation,
            "ledger_request": f"{request.rule_id}#{request.target_id}#{generation}",
            "since": now,
        }
    )


def _followed(item: Item, wait: Wait, request: TriggerRequest, now: float) -> Item:
    """Return the attributes of the run to watch with the next token: the same run with its ending, or the next run."""
    ending = _ending(item)
    if isinstance(ending, Failed) and ending.may_be_rerun and wait.after_failed_run == "rerun":
        return _first(request, now, int(item["generation"]["N"]) + 1)
    followed = {name: item[name] for name in _first(request, now) if name in item}
    followed["watched_in"] = {"S": f"watch#{item['environment']['S']}"}
    if isinstance(ending, Succeeded) or (isinstance(ending, Failed) and ending.may_be_rerun):
        followed["ending"] = item["ending"]  # for a dead or held request, the watcher looks again
    return followed


def _opened(item: Item) -> Opened:
    return Opened(int(item["generation"]["N"]), item["environment"]["S"], item["dag_id"]["S"])


def _waiting(call: TaskCall, wait: Wait, mark: str, sealed: bytes, now: float) -> Item:
    """Return the attributes of the waiting state."""
    return attributes(
        {
            "execution_arn": call.execution_arn,
            "token_mark": mark,
            "sealed_token": sealed,
            "wait": json.dumps(asdict(wait)),
            "waiting_since": now,
        }
    )


def _watch(item: Item) -> Watch:
    return Watch(
        ledger_key=(item["event"]["S"], item["ledger_request"]["S"]),
        environment=item["environment"]["S"],
        dag_id=item["dag_id"]["S"],
        run_id=item["run_id"]["S"],
        execution_arn=item["execution_arn"]["S"],
        token_mark=item["token_mark"]["S"],
        wait=Wait(**json.loads(item["wait"]["S"])),
        since=float(item["since"]["N"]),
        waiting_since=float(item["waiting_since"]["N"]),
        ending=_ending(item),
        decided_at=_decided_at(item),
    )


def _read_watch(item: Item) -> Watch | UnreadableWatch:
    try:
        return _watch(item)
    except _UNREADABLE as error:
        key = f"{item['event']['S']} {item['request']['S']}"
        return UnreadableWatch(key, f"{type(error).__name__}: {error}")


def _request_state(item: Item) -> RequestState:
    try:
        reason = text(item, "reason")
        return RequestState(
            state=item["state"]["S"],
            reason=Reason(reason) if reason else None,
            text=text(item, "reason_text"),
            not_runnable=text(item, "not_runnable"),
        )
    except _UNREADABLE as error:
        return RequestState("unreadable", text=f"cannot read the request's row in the ledger: {error!r}")


def _decided_at(item: Item) -> float | None:
    decided_at = json.loads(item["ending"]["S"]).get("decided_at") if "ending" in item else None
    return float(decided_at) if decided_at is not None else None


def _ending(item: Item) -> Ending | None:
    if "ending" not in item:
        return None
    document = json.loads(item["ending"]["S"])
    if "output" in document:
        return Succeeded(document["output"])
    if document["error"] == _EXECUTION_OVER:
        return ExecutionOver(document["cause"]["since"])
    return Failed(document["error"], document["cause"])


def _ending_text(ending: Ending, now: float) -> str:
    """Serialise the ending in a form that an older version can read, which ignores `decided_at`."""
    if isinstance(ending, ExecutionOver):  # written as a failure
        return json.dumps(asdict(Failed(_EXECUTION_OVER, asdict(ending))), sort_keys=True)
    return json.dumps(asdict(ending) | {"decided_at": round(now, 3)}, sort_keys=True)


def _batches(keys: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    for start in range(0, len(keys), _KEYS_PER_READ):
        yield keys[start : start + _KEYS_PER_READ]
