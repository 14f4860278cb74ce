"""The part of the Logs Insights query language that the gateway's commands use, over log lines in memory.

    filter    = != < <= > >=  in [...]  like "text"  like /expression/  ispresent(field), with and, or, not, ( )
    fields    names; without it a row has @timestamp and @message
    sort      one field, with asc or desc; without it the newest line comes first
    limit     at most 10,000, which is also the default
    stats     count(*), and count, count_distinct, sum, avg, min, max of a field, by fields and bin(5m), with `as`

Anything else is refused, so that no query works here and means something else on AWS. A comparison with a field that a line
does not have is false, `!=` included.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

MAXIMUM_ROWS: Final = 10_000
_OWN_FIELDS: Final = frozenset({"@timestamp", "@message", "@logStream", "@log", "@ptr"})
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

Record = Mapping[str, Any]
Predicate = Callable[[Record], bool]


class MalformedQuery(Exception):
    """The query is wrong, or has a form that the local stack does not know."""


def discovered(message: str) -> dict[str, Any]:
    """Return the fields of a JSON line; nested ones have dotted names. Any other text has none."""
    try:
        document = json.loads(message)
    except ValueError:
        return {}
    return dict(_flat("", document)) if isinstance(document, dict) else {}


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    match value:
        case dict():
            for name, member in value.items():
                yield from _flat(f"{prefix}.{name}" if prefix else name, member)
        case list():
            for position, member in enumerate(value):
                yield from _flat(f"{prefix}.{position}", member)
        case bool():
            yield prefix, int(value)
        case None:
            pass
        case _:
            yield prefix, value


# Comparisons, also those of the patterns of FilterLogEvents.

_ORDERS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def compare(value: Any, operator: str, given: str | float) -> bool:
    """Return whether a line's value, None if it has none, is in this relation to the given one."""
    if value is None:
        return False
    if operator in ("=", "!="):
        return _is_equal(value, given) is (operator == "=")
    left, right = _number(value), _number(given)
    return left is not None and right is not None and _ORDERS[operator](left, right)


def _is_equal(value: Any, given: str | float) -> bool:
    if isinstance(value, int | float) or isinstance(given, int | float):
        left, right = _number(value), _number(given)
        return left is not None and left == right
    return bool(value == given)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


# The language.

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
          |(?P<expression>/(?:\\.|[^/\\])+/i?)
          |(?P<number>-?\d+(?:\.\d+)?(?![\w.]))
          |(?P<duration>\d+[smhd]\b)
          |(?P<name>@?[A-Za-z_][\w.]*|`[^`]+`)
          |(?P<sign>!=|<=|>=|=~|[=<>()\[\],|*]))""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def _tokens(query: str) -> list[_Token]:
    found, position, query = [], 0, query.rstrip()
    while position < len(query):
        match = _TOKEN.match(query, position)
        if match is None:
            raise MalformedQuery(f"unexpected character at {query[position : position + 20]!r}")
        found.append(_Token(str(match.lastgroup), match[str(match.lastgroup)]))
        position = match.end()
    return found


@dataclass(slots=True)
class _Reader:
    """The tokens of one stage."""

    tokens: Sequence[_Token]
    at: int = 0

    def word(self) -> str:
        """The next token in lower case, "" at the end; keywords may be written in any case."""
        return self.tokens[self.at].text.lower() if self.at < len(self.tokens) else ""

    def skip(self, *words: str) -> bool:
        found = [token.text.lower() for token in self.tokens[self.at : self.at + len(words)]] == [*words]
        self.at += len(words) * found
        return found

    def expect(self, word: str) -> None:
        if not self.skip(word):
            raise MalformedQuery(f"expected {word!r}, not {self.word() or 'the end'!r}")

    def take(self, *kinds: str) -> _Token:
        if self.at == len(self.tokens) or self.tokens[self.at].kind not in kinds:
            raise MalformedQuery(f"expected {' or '.join(kinds)}, not {self.word() or 'the end'!r}")
        self.at += 1
        return self.tokens[self.at - 1]

    def name(self) -> str:
        name = self.take("name").text.strip("`")
        if name.startswith("@") and name not in _OWN_FIELDS:
            raise MalformedQuery(f"the local stack has no field {name}")
        if self.word() == "(":
            raise MalformedQuery(f"the local stack has no function {name}()")
        return name

    def value(self) -> str | float:
        token = self.take("text", "number")
        return float(token.text) if token.kind == "number" else _unquoted(token.text)

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise MalformedQuery(f"unexpected {self.tokens[self.at].text!r}")


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _expression(reader: _Reader) -> Predicate:
    either = [_conjunction(reader)]
    while reader.skip("or"):
        either.append(_conjunction(reader))
    return lambda record: any(one(record) for one in either)


def _conjunction(reader: _Reader) -> Predicate:
    every = [_term(reader)]
    while reader.skip("and"):
        every.append(_term(reader))
    return lambda record: all(one(record) for one in every)


def _term(reader: _Reader) -> Predicate:
    if reader.skip("not"):
        term = _term(reader)
        return lambda record: not term(record)
    if reader.skip("("):
        inner = _expression(reader)
        reader.expect(")")
        return inner
    if reader.skip("ispresent", "("):
        present = reader.name()
        reader.expect(")")
        return lambda record: record.get(present) is not None
    return _comparison(reader, reader.name())


def _comparison(reader: _Reader, name: str) -> Predicate:
    if reader.skip("not", "in"):
        values = _values(reader)
        return lambda record: all(compare(record.get(name), "!=", value) for value in values)
    if reader.skip("in"):
        values = _values(reader)
        return lambda record: any(compare(record.get(name), "=", value) for value in values)
    if reader.skip("not", "like"):
        unlike = _like(reader)
        return lambda record: record.get(name) is not None and not unlike(str(record[name]))
    if reader.skip("like") or reader.skip("=~"):
        like = _like(reader)
        return lambda record: record.get(name) is not None and like(str(record[name]))
    operator = reader.take("sign").text
    if operator not in ("=", "!=", *_ORDERS):
        raise MalformedQuery(f"{operator!r} is no comparison")
    given = reader.value()
    return lambda record: compare(record.get(name), operator, given)


def _values(reader: _Reader) -> list[str | float]:
    reader.expect("[")
    values = [reader.value()]
    while reader.skip(","):
        values.append(reader.value())
    reader.expect("]")
    return values


def _like(reader: _Reader) -> Callable[[str], bool]:
    token = reader.take("text", "expression")
    if token.kind == "text":
        part = _unquoted(token.text)
        return lambda text: part in text
    pattern, _, flag = token.text[1:].rpartition("/")
    expression = re.compile(pattern, re.IGNORECASE if flag else 0)
    return lambda text: expression.search(text) is not None


# Stages: each takes records and returns records.

Stage = Callable[[Sequence[Record]], Sequence[Record]]


@dataclass(slots=True)
class Query:
    """A compiled query: its stages, and the columns of its rows."""

    stages: list[Stage] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    is_sorted: bool = False
    is_grouped: bool = False

    @classmethod
    def of(cls, text: str) -> "Query":
        """Compile the text; raises MalformedQuery."""
        query = cls()
        for tokens in _split(_tokens(text)):
            reader = _Reader(tokens)
            command = reader.take("name").text.lower()
            if command not in _COMMANDS:
                raise MalformedQuery(f"the local stack has no command {command!r}")
            _COMMANDS[command](query, reader)
            reader.end()
        return query

    def rows(self, records: Iterable[Record], limit: int = MAXIMUM_ROWS) -> list[dict[str, str]]:
        """Return the rows as AWS does: texts, without the fields that a line does not have."""
        found: Sequence[Record] = [*records]
        if not self.is_sorted:
            found = sorted(found, key=lambda record: record["@timestamp"], reverse=True)
        for stage in self.stages:
            found = stage(found)
        columns = self.columns or ["@timestamp", "@message"]
        if not self.is_grouped:
            columns = [*columns, "@ptr"]
        return [
            {name: _shown(name, record[name]) for name in columns if record.get(name) is not None}
            for record in found[: min(limit, MAXIMUM_ROWS)]
        ]


def _shown(name: str, value: Any) -> str:
    if name == "@timestamp":
        return _time(value / 1_000)
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _split(tokens: Sequence[_Token]) -> Iterator[Sequence[_Token]]:
    start = 0
    for at, token in enumerate([*tokens, _Token("sign", "|")]):
        if (token.kind, token.text) == ("sign", "|"):
            yield tokens[start:at]
            start = at + 1


def _add_filter(query: Query, reader: _Reader) -> None:
    predicate = _expression(reader)
    query.stages.append(lambda records: [record for record in records if predicate(record)])


def _add_fields(query: Query, reader: _Reader) -> None:
    query.columns.append(reader.name())
    while reader.skip(","):
        query.columns.append(reader.name())


def _add_sort(query: Query, reader: _Reader) -> None:
    name = reader.take("name").text.strip("`")
    descending = reader.skip("desc")
    if not descending:
        reader.expect("asc")
    query.is_sorted = True

    def order(record: Record) -> tuple[bool, float, str]:
        value = record.get(name)
        number = _number(value)
        return value is not None, 0.0 if number is None else number, str(value)

    query.stages.append(lambda records: sorted(records, key=order, reverse=descending))


def _add_limit(query: Query, reader: _Reader) -> None:
    count = int(reader.take("number").text)
    if not 1 <= count <= MAXIMUM_ROWS:
        raise MalformedQuery(f"limit is {count}; expected 1 to {MAXIMUM_ROWS}")
    query.stages.append(lambda records: records[:count])


_AGGREGATES: Final[Mapping[str, Callable[[list[Any]], Any]]] = {
    "count": len,
    "count_distinct": lambda values: len(set(values)),
    "sum": lambda values: sum(map(float, values)),
    "avg": lambda values: sum(map(float, values)) / len(values) if values else None,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
}


def _add_stats(query: Query, reader: _Reader) -> None:
    aggregates = [_aggregate(reader)]
    while reader.skip(","):
        aggregates.append(_aggregate(reader))
    groups = []
    if reader.skip("by"):
        groups.append(_group(reader))
        while reader.skip(","):
            groups.append(_group(reader))

    def grouped(records: Sequence[Record]) -> list[Record]:
        members: dict[tuple[Any, ...], list[Record]] = {}
        for record in records:
            members.setdefault(tuple(value(record) for _, value in groups), []).append(record)
        names = [name for name, _ in groups]
        return [
            {**dict(zip(names, key, strict=True)), **{name: made(found) for name, made in aggregates}}
            for key, found in members.items()
        ]

    query.stages.append(grouped)
    query.is_sorted = query.is_grouped = True
    query.columns = [name for name, _ in groups] + [name for name, _ in aggregates]


def _aggregate(reader: _Reader) -> tuple[str, Callable[[Sequence[Record]], Any]]:
    function = reader.take("name").text.lower()
    if function not in _AGGREGATES:
        raise MalformedQuery(f"the local stack has no function {function}()")
    reader.expect("(")
    name = "*" if function == "count" and reader.skip("*") else reader.name()
    reader.expect(")")
    values = _AGGREGATES[function]

    def made(records: Sequence[Record]) -> Any:
        return values([record[name] for record in records if record.get(name) is not None])

    return _label(reader, f"{function}({name})"), len if name == "*" else made


def _group(reader: _Reader) -> tuple[str, Callable[[Record], Any]]:
    if reader.skip("bin", "("):
        duration = reader.take("duration").text
        reader.expect(")")
        seconds = int(duration[:-1]) * _SECONDS[duration[-1]]
        label = _label(reader, f"bin({duration})")
        return label, lambda record: _time(record["@timestamp"] / 1_000 // seconds * seconds)
    name = reader.name()
    return _label(reader, name), lambda record: record.get(name)


def _label(reader: _Reader, name: str) -> str:
    return reader.take("name").text.strip("`") if reader.skip("as") else name


_COMMANDS: Final[Mapping[str, Callable[[Query, _Reader], None]]] = {
    "filter": _add_filter,
    "fields": _add_fields,
    "sort": _add_sort,
    "limit": _add_limit,
    "stats": _add_stats,
}
