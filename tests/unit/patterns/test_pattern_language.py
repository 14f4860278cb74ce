"""The pattern language sentence by sentence, where the recorded verdicts have no case for it.

`data/event_pattern_sentences.jsonl`: what is said, a pattern, the events that it `matches` and the `others`; or, of a
pattern that is refused, the `message`, null where its wording is nobody's. Patterns and events are JSON text, as people
write them: a number keeps its spelling, a name may stand twice.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from mwaa_gateway.errors import InvalidPattern, Problem
from mwaa_gateway.patterns.index import RuleIndex
from mwaa_gateway.patterns.pattern import compile_pattern
from mwaa_gateway.rules.pattern_hints import HINTS, with_hint

SENTENCES: dict[str, list[dict[str, Any]]] = defaultdict(list)
for _line in (Path(__file__).parents[1] / "data" / "event_pattern_sentences.jsonl").read_text().splitlines():
    _case = json.loads(_line)
    SENTENCES[_case["says"]].append(_case)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentence(sentence: str) -> None:
    """One by one, and through the index of all the sentence's patterns; what is wrong is listed."""
    accepted = [case for case in SENTENCES[sentence] if "message" not in case]
    index = RuleIndex((case["pattern"], compile_pattern(case["pattern"])) for case in accepted)
    wrong = [
        (case["pattern"], event, f"should be {expected}")
        for case in accepted
        for expected, events in ((True, case["matches"]), (False, case["others"]))
        for event in events
        for found in (
            compile_pattern(case["pattern"]).matches(json.loads(event)),
            case["pattern"] in index.match(json.loads(event)),
        )
        if found is not expected
    ]
    assert [] == wrong


@pytest.mark.parametrize(
    "case",
    [case for cases in SENTENCES.values() for case in cases if "message" in case],
    ids=lambda case: case["pattern"][:60],
)
def test_refusal(case: dict[str, Any]) -> None:
    """In EventBridge's words, where it has some."""
    with pytest.raises(InvalidPattern) as refusal:
        compile_pattern(case["pattern"])
    assert case["message"] in (None, str(refusal.value))


def test_every_hint_is_of_a_text_that_there_is() -> None:
    """What to write instead is said of the texts above; none of it has lost its text."""
    texts = [
        Problem("", case["message"]) for cases in SENTENCES.values() for case in cases if case.get("message")
    ]
    shown = "\n".join(with_hint(problem) for problem in texts)
    assert [] == [hint for _, hint in HINTS if hint not in shown]
