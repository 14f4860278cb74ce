"""A DynamoDB table in memory that carries out the expressions it is given, one item at a time.

Reads that do not ask for consistency may find an item as it was a moment ago; an index always does.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from simulation.world import World

__all__ = ["ConditionalCheckFailedException", "DynamoDB", "Table"]

Item = dict[str, Any]
Key = tuple[str, str]
ITEMS_PER_PAGE = 25
LAG = 1.0


class ConditionalCheckFailedException(ClientError):
    pass


class _Exceptions:
    ConditionalCheckFailedException = ConditionalCheckFailedException


class Table:
    """Items by partition and sort key. `watches` get every write: (key, item before, item after).

    Its index has every item, or those with the attribute `indexed`. `write_calls` counts the writes of each item in each
    second, refused ones too: DynamoDB counts them all.
    """

    def __init__(
        self, partition_key: str, sort_key: str, now: Callable[[], float], indexed: str | None = None
    ) -> None:
        self.items: dict[Key, Item] = {}
        self.write_calls: Counter[tuple[Key, int]] = Counter()
        self._now = now
        self._indexed = indexed
        self._in_index: dict[Key, None] = {}  # with what left it a moment ago
        self._sorts: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._earlier: dict[
            Key, tuple[float, Item | None]
        ] = {}  # when it was last written, and what it was before
        self.watches: list[Callable[[Key, Item | None, Item], None]] = []
        self._keys = (partition_key, sort_key)

    def key(self, item: Item) -> Key:
        partition, sort = self._keys
        return item[partition]["S"], item[sort]["S"]

    def update(self, request: Item) -> Item:
        """Carry out an UpdateItem."""
        key = self.key(request["Key"])
        old = self.items.get(key)
        self.write_calls[key, int(self._now())] += 1
        names, values = (
            request.get("ExpressionAttributeNames", {}),
            request.get("ExpressionAttributeValues", {}),
        )
        condition = request.get("ConditionExpression")
        if condition is not None and not _condition(condition)(old or {}, names, values):
            raise _refused(old, "UpdateItem")
        new = dict(old or request["Key"])
        _update(request["UpdateExpression"])(old or {}, new, names, values)
        self.put(key, new)
        return {"Attributes": new}

    def put_if(self, request: Item) -> None:
        """Carry out a PutItem."""
        key = self.key(request["Item"])
        old = self.items.get(key)
        self.write_calls[key, int(self._now())] += 1
        names, values = (
            request.get("ExpressionAttributeNames", {}),
            request.get("ExpressionAttributeValues", {}),
        )
        condition = request.get("ConditionExpression")
        if condition is not None and not _condition(condition)(old or {}, names, values):
            raise _refused(old, "PutItem")
        self.put(key, request["Item"])

    def a_moment_ago(self, key: Key) -> Item | None:
        written_at, before = self._earlier.get(key, (0.0, None))
        return before if self._now() - written_at < LAG else self.items.get(key)

    def keys_to_read(self, request: Item) -> list[Key]:
        """Return the keys of the items that a query or scan reads: of a partition, of the index, or of the table."""
        if "IndexName" in request:
            if self._indexed is None:
                return [*self.items]
            for key in [*self._in_index]:
                if all(
                    self._indexed not in (item or {})
                    for item in (self.items.get(key), self.a_moment_ago(key))
                ):
                    del self._in_index[key]
            return [*self._in_index]
        partition = request.get("ExpressionAttributeValues", {}).get(":partition")
        if partition is None:
            return [*self.items]
        return [(partition["S"], sort) for sort in sorted(self._sorts[partition["S"]])]

    def settle(self) -> None:
        """Whatever was written so far was written long ago."""
        self._earlier.clear()

    def remove(self, key: Key) -> None:
        self._earlier[key] = self._now(), self.items.pop(key, None)

    def put(self, key: Key, item: Item) -> None:
        old = self.items.get(key)
        self._earlier[key] = self._now(), old
        self.items[key] = item
        self._sorts[key[0]][key[1]] = None
        if self._indexed in item:
            self._in_index[key] = None
        for watch in self.watches:
            watch(key, old, item)


class DynamoDB:
    """The part of botocore's DynamoDB client that the adapters use."""

    exceptions = _Exceptions

    def __init__(self, world: World, tables: dict[str, Table]) -> None:
        self._world = world
        self._tables = tables

    def update_item(self, **request: Any) -> Item:
        table = self._tables[request["TableName"]]
        return self._world.aws_call("dynamodb", "UpdateItem", lambda: table.update(request))

    def put_item(self, **request: Any) -> Item:
        table = self._tables[request["TableName"]]

        def put() -> Item:
            table.put_if(request)
            return {}

        return self._world.aws_call("dynamodb", "PutItem", put)

    def get_item(self, **request: Any) -> Item:
        table = self._tables[request["TableName"]]

        def read() -> Item:
            item = self._found(table, table.key(request["Key"]), request)
            return {} if item is None else {"Item": item}

        return self._world.aws_call("dynamodb", "GetItem", read)

    def batch_get_item(self, **request: Any) -> Item:
        def read() -> Item:
            responses, unprocessed = {}, {}
            for name, wanted in request["RequestItems"].items():
                table, keys = self._tables[name], wanted["Keys"]
                assert 1 <= len(keys) <= 100
                if self._world.chance(self._world.rates.unprocessed, "DynamoDB left keys unprocessed"):
                    read_now = self._world.random.randrange(len(keys))
                    unprocessed[name] = wanted | {"Keys": keys[read_now:]}
                    keys = keys[:read_now]
                found = [self._found(table, table.key(key), wanted) for key in keys]
                responses[name] = [item for item in found if item is not None]
            return {"Responses": responses, "UnprocessedKeys": unprocessed}

        return self._world.aws_call("dynamodb", "BatchGetItem", read)

    def _found(self, table: Table, key: Key, read: Item) -> Item | None:
        found, rate = table.items.get(key), self._world.rates.stale_read
        if rate and not read.get("ConsistentRead") and self._world.random.random() < rate:
            earlier = table.a_moment_ago(key)
            self._world.faults["stale read"] += earlier is not found
            return earlier
        return found

    def query(self, **request: Any) -> Item:
        table = self._tables[request["TableName"]]
        values = request["ExpressionAttributeValues"]
        partition, prefix = values[":partition"]["S"], values[":prefix"]["S"]
        assert request["ConsistentRead"]

        def read() -> Item:
            return {
                "Items": [
                    item
                    for (at, sort), item in sorted(table.items.items())
                    if at == partition and sort.startswith(prefix)
                ]
            }

        return self._world.aws_call("dynamodb", "Query", read)

    def get_paginator(self, operation: str) -> "Pages":
        return Pages(self._world, self._tables, {"scan": "Scan", "query": "Query"}[operation])


class Pages:
    """A paginator of a scan with a filter, of a query of a partition, or by attributes of an index: each page is a call."""

    def __init__(self, world: World, tables: dict[str, Table], operation: str) -> None:
        self._world = world
        self._tables = tables
        self._operation = operation

    def paginate(self, **request: Any) -> Iterator[Item]:
        table, of_index = self._tables[request["TableName"]], "IndexName" in request
        meant = _condition(request.get("FilterExpression") or request["KeyConditionExpression"])
        values, names = request["ExpressionAttributeValues"], request.get("ExpressionAttributeNames", {})
        assert of_index or self._operation == "Scan" or request["ConsistentRead"]
        position = 0

        def read() -> Item:
            # Whatever is added meanwhile is read later, at the latest by the next query.
            read_item = table.a_moment_ago if of_index else table.items.get
            items = [item for key in table.keys_to_read(request) if (item := read_item(key)) is not None]
            if self._operation == "Query":
                items = [item for item in items if meant(item, names, values)]
            page = items[position : position + ITEMS_PER_PAGE]
            found = [item for item in page if meant(item, names, values)]
            return {"Items": found, "ScannedCount": len(page), "Rest": len(items) - position - len(page)}

        while True:
            page = self._world.aws_call("dynamodb", self._operation, read)
            yield page
            position += page["ScannedCount"]
            if page["Rest"] <= 0:
                return


def _refused(old: Item | None, operation: str) -> ConditionalCheckFailedException:
    response: Any = {
        "Error": {"Code": "ConditionalCheckFailedException", "Message": "The conditional request failed"}
    }
    if old is not None:
        response["Item"] = old
    return ConditionalCheckFailedException(response, operation)


# --- expressions: each is translated to Python once -------------------------------------------------------------

_TOKEN = re.compile(r"\s*(?:(?P<word>[#:]?[A-Za-z_]\w*)|(?P<sign><>|<=|>=|[=<>(),+-]))")
_COMPARED = {"=": "==", "<>": "!="}
_ORDERED = ("<", ">", "<=", ">=")


def _tokens(text: str) -> Iterator[str]:
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise NotImplementedError(f"DynamoDB expression: {text[position:]!r}")
        yield match["word"] or match["sign"]
        position = match.end()


def _operand(token: str) -> str:
    if token.startswith(":"):
        return f"values[{token!r}]"
    return f"old.get({_name(token)})"


def _name(token: str) -> str:
    return f"names[{token!r}]" if token.startswith("#") else repr(token)


@cache
def _condition(text: str) -> Callable[[Item, Item, Item], bool]:
    tokens = list(_tokens(text))
    written: list[str] = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if token in ("attribute_not_exists", "attribute_exists"):
            negated = "not in" if token == "attribute_not_exists" else "in"
            written.append(f"({_name(tokens[position + 2])} {negated} old)")
            position += 4
        elif token == "begins_with":
            text, prefix = _operand(tokens[position + 2]), _operand(tokens[position + 4])
            written.append(f"{text}['S'].startswith({prefix}['S'])")
            position += 6
        elif token in ("AND", "OR", "NOT"):
            written.append(token.lower())
            position += 1
        elif token in "()":
            written.append(token)
            position += 1
        else:
            left, sign, right = (
                (*map(_operand, tokens[position : position + 3 : 2]),),
                tokens[position + 1],
                None,
            )
            if sign in _COMPARED:
                written.append(f"({left[0]} {_COMPARED[sign]} {left[1]})")
            elif sign in _ORDERED:
                written.append(f"ordered({left[0]}, {left[1]}, lambda a, b: a {sign} b)")
            else:
                raise NotImplementedError(f"DynamoDB condition: {text!r} {right}")
            position += 3
    return eval(f"lambda old, names, values: {' '.join(written)}", {"ordered": _compare})  # noqa: S307  our own text


def _compare(left: Item | None, right: Item | None, order: Callable[[Any, Any], bool]) -> bool:
    if left is None or right is None:
        return False
    if "N" in left and "N" in right:
        return order(float(left["N"]), float(right["N"]))
    return "S" in left and "S" in right and order(left["S"], right["S"])


@cache
def _update(text: str) -> Callable[[Item, Item, Item, Item], None]:
    tokens = list(_tokens(text))
    lines = ["def update(old, new, names, values):"]
    position = 0
    clause = ""
    while position < len(tokens):
        token = tokens[position]
        if token in ("SET", "REMOVE"):
            clause = token
            position += 1
        elif token == ",":
            position += 1
        elif clause == "REMOVE":
            lines.append(f"    new.pop({_name(token)}, None)")
            position += 1
        elif clause == "SET" and tokens[position + 1] == "=":
            value, position = _value(tokens, position + 2)
            while position < len(tokens) and tokens[position] in "+-":
                sign = tokens[position]
                right, position = _value(tokens, position + 1)
                value = f"added({value}, {right}, {1 if sign == '+' else -1})"
            lines.append(f"    new[{_name(token)}] = {value}")
        else:
            raise NotImplementedError(f"DynamoDB update: {text!r}")
    scope: dict[str, Any] = {"added": _added}
    exec("\n".join(lines), scope)  # noqa: S102  our own text
    return scope["update"]


def _value(tokens: list[str], position: int) -> tuple[str, int]:
    token = tokens[position]
    if token == "if_not_exists":
        name, otherwise = _name(tokens[position + 2]), _operand(tokens[position + 4])
        return f"(old[{name}] if {name} in old else {otherwise})", position + 6
    if token.startswith(":"):
        return _operand(token), position + 1
    return f"old[{_name(token)}]", position + 1


def _added(left: Item, right: Item, sign: int) -> Item:
    return {"N": str(int(left["N"]) + sign * int(right["N"]))}
