"""Logs Insights and the JSON patterns of FilterLogEvents, as far as the gateway's commands use them.

MiniStack 1.5.33 stores each line under the function's log group. Its Insights ignores every filter that it does not know,
gives no field of a JSON line, and takes every JSON pattern of FilterLogEvents to match all lines. Here:

1. StartQuery runs the language of `insights`, and refuses any other query. The second GetQueryResults has the rows.
2. FilterLogEvents knows JSON patterns of comparisons with && and ||, and refuses others.
3. FilterLogEvents has a next page. MiniStack returns the first 10,000 events of a group, and no token.
4. Both need a permission on each log group, as IAM has it: `…:log-group:NAME:log-stream:`.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from ministack.core import iam_actions  # type: ignore[import-untyped]
from ministack.core.responses import error_response_json, get_account_id  # type: ignore[import-untyped]
from ministack.services import cloudwatch_logs as logs  # type: ignore[import-untyped]

from local_stack.insights import MAXIMUM_ROWS, MalformedQuery, Predicate, Query, compare, discovered

_MAXIMUM_GROUPS: Final = 50
_MAXIMUM_EVENTS: Final = 10_000  # of a page
_PATTERN_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*")|(?P<sign>&&|\|\||!=|<=|>=|[=<>()])|(?P<name>\$[\w.]+)|(?P<word>[\w.*-]+))"""
)


def extend() -> None:
    """Patch the modules, before MiniStack serves anything."""
    logs._start_query = _start_query  # noqa: SLF001  there is no other way in
    logs._get_query_results = _running_at_first(logs._get_query_results)  # noqa: SLF001
    logs._filter_log_events = _refuse_unknown_patterns(_in_pages(logs._filter_log_events))  # noqa: SLF001
    logs._compile_filter_pattern = _with_json_patterns(logs._compile_filter_pattern)  # noqa: SLF001
    iam_actions.extract_resource_arn = _name_log_groups(iam_actions.extract_resource_arn)


def _start_query(data: Mapping[str, Any]) -> Any:
    groups = logs._resolve_query_log_groups(data)  # noqa: SLF001
    if not 1 <= len(groups) <= _MAXIMUM_GROUPS:
        text = f"a query names 1 to {_MAXIMUM_GROUPS} log groups, not {len(groups)}"
        return error_response_json("InvalidParameterException", text, 400)
    for name in groups:
        if name not in logs._log_groups:  # noqa: SLF001
            text = f"Log group '{name}' does not exist for account ID '{get_account_id()}'"
            return error_response_json("ResourceNotFoundException", text, 400)
    try:
        query = Query.of(data["queryString"])
    except (MalformedQuery, re.error) as error:
        return error_response_json("MalformedQueryException", f"{error}, in {data['queryString']!r}", 400)
    records = [
        discovered(record["@message"])
        | {name: record[name] for name in ("@message", "@logStream", "@ptr")}
        | {"@timestamp": record["_timestamp_ms"], "@log": f"{get_account_id()}:{record['@log']}"}
        for record in logs._collect_query_records(groups, data["startTime"], data["endTime"])  # noqa: SLF001
    ]
    rows = query.rows(records, data.get("limit") or MAXIMUM_ROWS)
    query_id = logs.new_uuid()
    logs._queries[query_id] = {  # noqa: SLF001
        "queryId": query_id,
        "queryString": data["queryString"],
        "startTime": data["startTime"],
        "endTime": data["endTime"],
        "status": "Complete",
        "results": [[{"field": name, "value": value} for name, value in row.items()] for row in rows],
        "statistics": {
            "recordsMatched": float(len(rows)),
            "recordsScanned": float(len(records)),
            "bytesScanned": float(sum(len(record["@message"].encode()) for record in records)),
        },
        "createTime": int(time.time() * 1_000),
    }
    return logs.json_response({"queryId": query_id})


def _running_at_first(results: Callable[..., Any]) -> Callable[..., Any]:
    def results_at_the_second_call(data: Mapping[str, Any]) -> Any:
        query = logs._queries.get(data.get("queryId"))  # noqa: SLF001
        if query is not None and not query.get("asked"):
            query["asked"] = True
            nothing = dict.fromkeys(("recordsMatched", "recordsScanned", "bytesScanned"), 0.0)
            return logs.json_response({"status": "Running", "results": [], "statistics": nothing})
        return results(data)

    return results_at_the_second_call


def _with_json_patterns(compiled: Callable[[str], Callable[[str], bool]]) -> Callable[..., Any]:
    def compiled_with_json(raw: str) -> Callable[[str], bool]:
        text = (raw or "").strip()
        if not text.startswith("{"):
            return compiled(raw)
        predicate = json_pattern(text)
        return lambda message: predicate(discovered(message))

    return compiled_with_json


def _refuse_unknown_patterns(filtered: Callable[..., Any]) -> Callable[..., Any]:
    def filtered_or_refused(data: Mapping[str, Any]) -> Any:
        try:
            return filtered(data)
        except MalformedQuery as error:
            text = f"Invalid character(s) in term: {error}"
            return error_response_json("InvalidParameterException", text, 400)

    return filtered_or_refused


def _in_pages(filtered: Callable[..., Any]) -> Callable[..., Any]:
    """A token is the time of a page's last event, and how many events of this time were returned."""

    def filtered_page(data: Mapping[str, Any]) -> Any:
        limit = min(data.get("limit", _MAXIMUM_EVENTS), _MAXIMUM_EVENTS)
        since, returned = data.get("startTime"), 0
        if token := data.get("nextToken"):
            since, returned = map(int, token.split("-"))
        asked = min(limit + returned, _MAXIMUM_EVENTS)
        status, headers, body = filtered({**data, "startTime": since, "limit": asked})
        if status != HTTPStatus.OK:
            return status, headers, body
        found = json.loads(body)["events"]
        page: dict[str, Any] = {"events": found[returned:], "searchedLogStreams": []}
        if len(found) == asked:
            last = found[-1]["timestamp"]
            page["nextToken"] = f"{last}-{sum(each['timestamp'] == last for each in found)}"
        return logs.json_response(page)

    return filtered_page


def json_pattern(text: str) -> Predicate:
    """Compile a pattern such as `{ $.outcome = "Dead" && ($.attempt > 1 || $.rule_id = "sales.*") }`."""
    if not text.endswith("}"):
        raise MalformedQuery(f"{text!r} does not end in a brace")
    inner, tokens, position = text[1:-1].rstrip(), [], 0
    while position < len(inner):
        match = _PATTERN_TOKEN.match(inner, position)
        if match is None:
            raise MalformedQuery(inner[position:])
        tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        position = match.end()
    tokens.reverse()
    predicate = _either(tokens)
    if tokens:
        raise MalformedQuery(tokens[-1][1])
    return predicate


_Tokens = list[tuple[str, str]]  # the next one is last


def _next(tokens: _Tokens) -> str:
    return tokens[-1][1] if tokens else ""


def _take(tokens: _Tokens, *kinds: str) -> str:
    if not tokens or tokens[-1][0] not in kinds:
        raise MalformedQuery(_next(tokens) or "the pattern ends too early")
    return tokens.pop()[1]


def _either(tokens: _Tokens) -> Predicate:
    terms = [_both(tokens)]
    while _next(tokens) == "||":
        tokens.pop()
        terms.append(_both(tokens))
    return lambda record: any(term(record) for term in terms)


def _both(tokens: _Tokens) -> Predicate:
    terms = [_comparison(tokens)]
    while _next(tokens) == "&&":
        tokens.pop()
        terms.append(_comparison(tokens))
    return lambda record: all(term(record) for term in terms)


def _comparison(tokens: _Tokens) -> Predicate:
    if _next(tokens) == "(":
        tokens.pop()
        inner = _either(tokens)
        if _take(tokens, "sign") != ")":
            raise MalformedQuery("a parenthesis is not closed")
        return inner
    name = _take(tokens, "name").removeprefix("$.")
    operator = _take(tokens, "sign")
    given = _take(tokens, "text", "word")
    if operator not in ("=", "!=", "<", "<=", ">", ">="):
        raise MalformedQuery(operator)
    if given.startswith('"'):
        given = str(json.loads(given))
    if "*" not in given:
        return lambda record: compare(record.get(name), operator, given)
    like = re.compile(".*".join(map(re.escape, given.split("*"))), re.DOTALL)

    def matches(record: Mapping[str, Any]) -> bool:
        value = record.get(name)
        return value is not None and (like.fullmatch(str(value)) is not None) is (operator == "=")

    return matches


def _name_log_groups(extract: Callable[..., str]) -> Callable[..., str]:
    def extract_log_group(  # noqa: PLR0917  as MiniStack calls it
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, Any],
        region: str,
        account_id: str,
    ) -> str:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if service == "logs" and action in ("StartQuery", "FilterLogEvents"):
            # IAM asks for each group. MiniStack asks once: for the first one.
            groups = logs._resolve_query_log_groups(json.loads(body))  # noqa: SLF001
            name = min(groups, default="*")
            return f"arn:aws:logs:{region}:{account_id}:log-group:{name}:log-stream:"
        return extract(service, method, path, headers, body, query_params, region, account_id)

    return extract_log_group
