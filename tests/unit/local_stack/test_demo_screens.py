"""What `make run` prints, in a terminal of 100 columns."""

import io

from rich.console import Console

from local_stack.demo import print_runs
from local_stack.follow import Followed, SentEvent
from local_stack.timeline import Timeline

RUN_ID = "evt__finance.business-day-closed__0123456789abcdef0123456789abcdef"


def shown(*followed: Followed) -> str:
    text = io.StringIO()
    console = Console(file=text, width=100, force_terminal=True, color_system=None)
    print_runs(followed, Timeline(console))
    return text.getvalue()


def test_every_identifier_is_in_one_piece() -> None:
    """A run_id is to be copied, and no line is wider than the terminal."""
    event = SentEvent("state machine nightly-etl", "marker", 0.0)
    screen = shown(
        Followed(
            event,
            rule_id="finance.business-day-closed",
            environment="analytics",
            dag_id="handle_notification",
            run_id=RUN_ID,
            state="success",
            dispatched_ms=1_234,
            accepted_ms=12_345,
            success_ms=23_456,
        )
    )
    assert all(len(line) <= 100 for line in screen.splitlines())
    assert {RUN_ID, "analytics:handle_notification", "success"} <= set(screen.split())
    assert "dispatched 1,234, accepted 12,345, success 23,456" in screen


def test_an_event_without_a_run() -> None:
    """It says so."""
    screen = shown(Followed(SentEvent("S3 upload", "marker", 0.0)))
    assert ["  S3 upload → rule -", "      -  not dispatched"] == screen.splitlines()[2:4]
    assert "no run" in screen


def test_a_long_line_of_the_timeline_is_not_folded() -> None:
    """What the terminal wraps is copied whole."""
    text = io.StringIO()
    Timeline(Console(file=text, width=40)).tell(f"uploading s3://{'b' * 60}/orders.csv")
    assert 1 == len(text.getvalue().splitlines())
