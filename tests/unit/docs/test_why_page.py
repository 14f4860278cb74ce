"""docs/why.md: its table of states is that of the code."""

import re
from pathlib import Path

from gateway_cli.answers.states import State

PAGE = Path(__file__).parents[3] / "docs" / "why.md"


def test_the_table_has_every_state_with_its_exit_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: int(code) for name, code in rows} == {str(state): int(state.ran) for state in State}
    assert len(rows) == len(State)


def test_the_page_begins_with_what_the_reader_sees() -> None:
    assert PAGE.read_text(encoding="utf-8").splitlines()[2].startswith("**A file came and nothing ran.**")
