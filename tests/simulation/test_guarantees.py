"""docs/guarantees.md says what the tests say."""

from collections import Counter

from guarantees.faults import FAULTS
from guarantees.page import PAGE, page
from guarantees.tests import Results, showing_tests


def test_the_page_fits_the_tests_that_exist() -> None:
    """A test that was added, renamed or removed, or a row that was changed: `make guarantees` writes the page anew."""
    assert page(showing_tests(), Results.read()) == PAGE.read_text(), "run `make guarantees`"


def test_no_test_on_the_page_failed_when_it_was_last_run() -> None:
    """Nor was skipped, or expected to fail; what was not run yet says so on the page."""
    outcomes = Counter[str]()
    for result in Results.read().tests.values():
        outcomes.update(result.cases)
    assert {"passed"} == set(outcomes)


def test_a_rows_number_is_its_own() -> None:
    """Tests are named after it."""
    assert [] == [row for row, count in Counter(fault.row for fault in FAULTS).items() if count > 1]


def test_a_row_without_a_test_or_with_a_failed_one_is_reported() -> None:
    """The page hides nothing."""
    bare = page([], Results())
    assert bare.count("**no test**") == len(FAULTS)
    [test, *_] = showing_tests()
    assert "**1 not run**" in page([test], Results())
