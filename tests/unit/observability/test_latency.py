"""From an event to the run that Airflow accepted: which requests count, and from when."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fakes.requests import a_request
from mwaa_gateway.observability.dispatch import latency

AT = datetime(2026, 11, 22, 10, tzinfo=UTC).timestamp()
EVENT = {"id": "e-1", "source": "aws.s3", "time": "2026-11-22T10:00:00Z"}


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"event": EVENT}, 90.0),
        ({"event": EVENT | {"time": "2026-11-22T10:00:00.500Z"}}, 89.5),
        ({"event": EVENT | {"time": "2026-11-22T11:00:00+01:00"}}, 90.0),
        ({"event": EVENT | {"time": "2026-11-22T10:02:00Z"}}, 0.0),  # a sender's clock that is ahead
        ({"event": EVENT | {"time": "2026-11-22T10:00:00"}}, None),  # of which zone?
        ({"event": EVENT | {"time": "soon"}}, None),
        ({"event": EVENT | {"time": 3}}, None),
        ({"event": {"id": "e-1", "source": "aws.s3"}}, None),
        ({"event": EVENT | {"replay-name": "of-last-week"}}, None),
        ({"event": EVENT, "redrive": 1}, None),
        ({"event": EVENT, "generation": 1}, None),
        ({"event": EVENT | {"source": "mwaa-gateway"}, "requested_at": AT + 60}, 30.0),  # a batch's release
    ],
)
def test_the_seconds_from_an_event_to_its_accepted_run(
    changes: dict[str, Any], seconds: float | None
) -> None:
    assert seconds == latency(replace(a_request(), **changes), AT + 90)
