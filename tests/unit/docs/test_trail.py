"""docs/trail.md says of the schema what the code does."""

import re
from pathlib import Path
from typing import get_args

from mwaa_gateway import outcomes
from mwaa_gateway.observability.trail import LIMIT, LIMITS, SAMPLED, VERSION, Fields, TrailOutcome

PAGE = (Path(__file__).parents[3] / "docs" / "trail.md").read_text()
NUMBERS = (int, float, bool)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in table]


def test_every_field_has_its_row_with_its_limit() -> None:
    documented = {name.strip("`"): limit for name, limit, _ in rows("Fields")}
    hints = {name: str(hint) for name, hint in Fields.__annotations__.items()}
    expected = {
        name: "number" if re.search(r"\b(int|float|bool)\b", hint) else f"{LIMITS.get(name, LIMIT):,}"
        for name, hint in hints.items()
    }
    assert expected == documented
    assert f"now `{VERSION}`" in PAGE
    assert f"`message` ({LIMITS['message']} characters at most)" in PAGE
    assert f"| `sampled` | number | {SAMPLED}: " in PAGE


def test_every_outcome_has_its_row() -> None:
    assert sorted(get_args(TrailOutcome)) == sorted(name.strip("`") for name, *_ in rows("Outcomes"))


def test_every_outcome_of_a_dispatch_is_one_of_the_trail() -> None:
    """Their names are those of the classes."""
    names = {each.__name__ for each in get_args(outcomes.Outcome)}
    assert names
    assert names <= set(get_args(TrailOutcome))
