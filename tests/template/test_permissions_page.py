"""docs/permissions.md says what the template says."""

from template.expansion import read_source
from template.permissions_page import BEGIN, END, PAGE, tables


def test_the_page_of_permissions_is_up_to_date() -> None:
    """`python tests/template/permissions_page.py` writes it; the author of the change reviews it."""
    written = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    assert tables(read_source()) == written, "run it, and review the difference"
