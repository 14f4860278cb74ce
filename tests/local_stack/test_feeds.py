"""Many events become one run, on real parts: uploads, a marker that overtakes them, and a quiet period."""

import gzip
import json
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from local_stack.state import StackState
from looking import number_of_runs, runs
from polling import until

NIGHTS, FILES = 3, 100


@pytest.mark.guarantee(47, 48)
def test_three_hundred_uploads_of_three_nights_are_three_runs_on_either_airflow(gateway):
    """Each night's marker overtakes its files; each manifest lists every object of its night, once."""
    nights = [uuid.uuid4().hex for _ in range(NIGHTS)]
    upload(gateway, [f"nightly/{night}/done-{FILES}" for night in nights])
    uploaded = {night: [f"nightly/{night}/{number:03}.csv" for number in range(FILES)] for night in nights}
    upload(gateway, [key for keys in zip(*uploaded.values(), strict=True) for key in keys])

    for environment in gateway.environments:
        until(
            f"a run for each night in {environment}",
            lambda environment=environment: number_of_runs(gateway, environment, "test.nightly") >= NIGHTS,
            seconds=60,
        )

    for environment in gateway.environments:
        details = [run.conf["detail"] for run in runs(gateway, environment, "test.nightly")]
        assert Counter(nights) == Counter(each["key"]["night"] for each in details)
        for detail in details:
            assert (detail["reason"], detail["complete"], detail["count"]) == ("complete", True, FILES)
            listed = Counter(line["key"] for line in manifest(gateway, detail["manifest"]))
            assert listed == Counter(uploaded[detail["key"]["night"]])


@pytest.mark.guarantee(47)
def test_events_until_it_is_quiet_are_one_run(gateway):
    """The same event delivered twice is one member; what comes after the release is in the next batch."""
    first, second = ([an_event(number) for number in numbers] for numbers in (range(20), range(20, 25)))
    for event in [*first, *first[:5]]:
        invoke(gateway, event)
    until("the first run", lambda: number_of_runs(gateway, "analytics", "test.quiet") == 1, seconds=60)
    for event in [*second, *first[5:10]]:
        invoke(gateway, event)
    until("the second run", lambda: number_of_runs(gateway, "analytics", "test.quiet") == 2, seconds=60)

    confs = [run.conf for run in runs(gateway, "analytics", "test.quiet")]
    assert sorted(conf["count"] for conf in confs) == [5, 20]
    members = Counter(member["id"] for conf in confs for member in conf["members"])
    assert members == Counter(event["id"] for event in [*first, *second])


def upload(gateway: StackState, keys: list[str]) -> None:
    s3 = gateway.aws.client("s3")
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda key: s3.put_object(Bucket=gateway.bucket, Key=key, Body=b"1"), keys))


def an_event(number: int) -> dict:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "source": "acme.quiet",
        "detail-type": "Order Placed",
        "account": "000000000000",
        "time": "2026-11-22T10:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": {"order": number},
    }


def invoke(gateway: StackState, event: dict) -> None:
    gateway.aws.client("lambda").invoke(
        FunctionName=f"{gateway.stack_name}-eventbridge-events",
        InvocationType="Event",
        Payload=json.dumps(event),
    )


def manifest(gateway: StackState, uri: str) -> list[dict]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = gateway.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return [json.loads(line) for line in gzip.decompress(body).splitlines()]
