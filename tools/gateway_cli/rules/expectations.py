"""Expect files: the runs that events are expected to start, as a test suite for a user's own pipeline.

    - name: an order lands                      # for people
      event: ../events/order.json               # a file beside this one, or the event itself
      expect:
        - rule: finance.orders-landing          # of the other fields, only those written here are compared
          dag_id: ingest_orders
          conf: {source: s3://acme-landing/orders/a.csv}
    - event: ../events/export.json
      expect:
        - {rule: sales.nightly, outcome: member, batch: {date: "2026-11-22"}}    # or marker: of a rule that collects
    - event: ../events/other.json
      expect: []                                # no rule matches

Every result must be expected: a further rule that matches is a failure.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway_cli.documents.document import Document
from gateway_cli.output import Refused
from gateway_cli.rules.changes import ABSENT, FieldChange, field_changes
from gateway_cli.rules.event_files import NamedEvent, events_of, read_events
from gateway_cli.rules.files import Mistake, files_below, read_documents
from gateway_cli.rules.trial import Result

_CASE_FIELDS: Final = ("name", "event", "expect")
_FIELDS: Final = (
    "rule",
    "target",
    "outcome",
    "environment",
    "dag_id",
    "run_id",
    "batch",
    "conf",
    "conf_includes",
    "reason_includes",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One entry of an expect file: events, and their expected results."""

    name: str
    place: str  # file:line
    events: tuple[NamedEvent, ...]
    expected: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """One unexpected result: the rule, the problem, and the fields that differ."""

    rule_id: str
    message: str
    fields: tuple[FieldChange, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the failure as JSON."""
        return {
            "rule_id": self.rule_id,
            "message": self.message,
            "fields": [
                {"field": field.field}
                | ({"expected": field.before} if field.before is not ABSENT else {})
                | ({"actual": field.after} if field.after is not ABSENT else {})
                for field in self.fields
            ],
        }


def read_cases(
    paths: Sequence[Path], *, unwrap_topics: frozenset[str] = frozenset()
) -> tuple[list[Case], list[Mistake]]:
    """Read expect files, and folders with all YAML files below them; *.json files in folders are events."""
    cases: list[Case] = []
    mistakes: list[Mistake] = []
    for file in (file for path in paths for file in _below(path)):
        if not file.is_file():
            mistakes.append(
                Mistake(str(file), None, None, None, "no such file, or a folder without expect files")
            )
            continue
        documents, flaws = read_documents(file)
        mistakes.extend(flaws)
        for document in documents:
            for found in _cases_of(file, document, unwrap_topics):
                if isinstance(found, Case):
                    cases.append(found)
                else:
                    mistakes.append(found)
    return cases, mistakes


def _below(path: Path) -> list[Path]:
    found = [file for file in files_below(path) if file == path or file.suffix != ".json"]
    return found or [path]


def _cases_of(file: Path, document: Document, unwrap_topics: frozenset[str]) -> Iterator[Case | Mistake]:
    if not isinstance(document.value, list):
        yield Mistake(
            str(file), document.lines[()], None, None, "an expect file is a list of cases: event, expect"
        )
        return
    for position, case in enumerate(document.value):
        line = document.lines[(position,)]
        problem = _problem(case)
        if problem:
            yield Mistake(str(file), line, None, None, problem)
            continue
        name = str(
            case.get("name") or (case["event"] if isinstance(case["event"], str) else f"event {position + 1}")
        )
        try:
            events = _events(case["event"], name, file.parent, unwrap_topics)
        except Refused as error:
            yield Mistake(str(file), line, None, None, error.message)
            continue
        yield Case(name, f"{file}:{line}", tuple(events), tuple(case["expect"]))


def _events(written: Any, name: str, folder: Path, unwrap_topics: frozenset[str]) -> list[NamedEvent]:
    if isinstance(written, str):
        return read_events([folder / written], unwrap_topics=unwrap_topics)
    return events_of(written, name, unwrap_topics=unwrap_topics)


def _problem(case: Any) -> str:
    """Return the problem with the form of a case, "" if there is none."""
    if not isinstance(case, Mapping) or not {"event", "expect"} <= case.keys():
        return (
            "a case has `event` (a file, or the event itself) and `expect` (a list, empty if no rule matches)"
        )
    unknown = [*(case.keys() - set(_CASE_FIELDS))]
    if unknown:
        return f"{unknown[0]!r} is no field of a case; the fields are {', '.join(_CASE_FIELDS)}"
    if not isinstance(case["event"], str | Mapping | list):
        return "`event` must be the name of a file, or the event itself"
    if not isinstance(case["expect"], list):
        return "`expect` must be a list, empty if no rule matches"
    for expected in case["expect"]:
        if not isinstance(expected, Mapping) or not isinstance(expected.get("rule"), str):
            return "each entry of `expect` must name its `rule`"
        for name in expected.keys() - set(_FIELDS):
            near = difflib.get_close_matches(str(name), _FIELDS, n=1)
            return f"{name!r} is no field of `expect`; " + (
                f"did you mean {near[0]!r}?" if near else f"the fields are {', '.join(_FIELDS)}"
            )
    return ""


def failures(case: Case, results: Sequence[Result]) -> list[Failure]:
    """Return every difference between the results and what the case expects."""
    found: list[Failure] = []
    left = list(results)
    for expected in case.expected:
        rule_id = expected["rule"]
        result = next((one for one in left if _is_meant(expected, one)), None)
        if result is None:
            also = f" target {expected['target']}" if "target" in expected else ""
            found.append(Failure(rule_id, f"is expected to match, and{also} does not"))
            continue
        left.remove(result)
        fields = tuple(_differences(expected, result))
        if fields:
            found.append(Failure(rule_id, "matches, but with another result", fields))
    found.extend(
        Failure(result.rule_id or "(the event)", f"{_does(result)}, which is not expected{_because(result)}")
        for result in left
    )
    return found


def _does(result: Result) -> str:
    match result.outcome:
        case "run":
            return f"starts {result.environment}:{result.dag_id}"
        case "shadow":
            return f"would start, in SHADOW, {result.environment}:{result.dag_id}"
        case "refused":
            return "is refused"
        case "member" | "marker":
            return f"collects it as a {result.outcome} of a batch"


def _because(result: Result) -> str:
    return f": {result.reason}" if result.outcome == "refused" else ""


def _is_meant(expected: Mapping[str, Any], result: Result) -> bool:
    return result.rule_id == expected["rule"] and (
        result.outcome == "refused" or expected.get("target", result.target_id) == result.target_id
    )


def _differences(expected: Mapping[str, Any], result: Result) -> Iterator[FieldChange]:
    outcome = "refused" if "reason_includes" in expected else "member" if "batch" in expected else "run"
    wanted = {"outcome": expected.get("outcome", outcome)}
    actual: dict[str, Any] = {"outcome": result.outcome}
    if wanted == actual:
        for name in ("environment", "dag_id", "run_id", "batch"):
            if name in expected:
                wanted[name], actual[name] = expected[name], getattr(result, name)
        if "conf" in expected:
            wanted["conf"], actual["conf"] = expected["conf"], result.own_conf
    elif result.reason:
        wanted["reason"], actual["reason"] = "", result.reason
    yield from field_changes(wanted, actual)
    if "conf_includes" in expected and result.outcome != "refused":
        includes = expected["conf_includes"]
        yield from field_changes({"conf": includes}, {"conf": _within(includes, result.own_conf)})
    text = expected.get("reason_includes", "")
    if result.reason and text not in result.reason:
        yield FieldChange("reason", text, result.reason)


def _within(wanted: Any, actual: Any) -> Any:
    """Return the part of a conf that the expectation names."""
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        return {name: _within(value, actual[name]) for name, value in wanted.items() if name in actual}
    return actual
