"""No account id, ARN, host name or token survives in a report, wherever in it one stands."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_cli.certify.redaction import Redaction

accounts = st.text("0123456789", min_size=12, max_size=12)
names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
regions = st.sampled_from(["eu-west-1", "us-gov-west-1", "cn-north-1", "ap-southeast-4"])
paths = st.text(string.ascii_letters + string.digits + "/_-.:+=@", min_size=1, max_size=40)


@st.composite
def arns(draw: st.DrawFn) -> str:
    partition = draw(st.sampled_from(["aws", "aws-cn", "aws-us-gov", "aws-iso-b"]))
    service = draw(st.sampled_from(["iam", "sts", "lambda", "airflow", "s3", "states"]))
    return f"arn:{partition}:{service}:{draw(regions)}:{draw(accounts)}:{draw(paths)}"


hosts = st.one_of(
    st.builds("{}-vpce.c{}.{}.airflow.amazonaws.com".format, names, st.integers(1, 99), regions),
    st.builds("{}.c{}.airflow.{}.on.aws".format, names, st.integers(1, 99), regions),
    st.builds("sqs.{}.amazonaws.com.cn".format, regions),
    st.builds("ip-10-0-{}-{}.{}.compute.internal".format, st.integers(0, 255), st.integers(0, 255), regions),
    st.builds("10.{}.{}.{}:8080".format, *[st.integers(0, 255)] * 3),
    st.builds("localhost:{}".format, st.integers(1, 65535)),
)
base64url = string.ascii_letters + string.digits + "-_"
mixed = st.builds("{}A{}a{}7".format, *[st.text(base64url, min_size=12, max_size=30)] * 3)
tokens = st.one_of(
    mixed,
    st.builds("eyJ{}.{}.{}".format, *[st.text(base64url, min_size=4, max_size=30)] * 3),
    st.builds("f0{}".format, st.text("0123456789abcdef", min_size=38, max_size=62)),
    st.builds(
        "{}{}".format,
        st.sampled_from(["AKIA", "ASIA"]),
        st.text(string.ascii_uppercase, min_size=16, max_size=16),
    ),
)
secrets = st.one_of(accounts, arns(), hosts, tokens)
around = st.sampled_from(
    [
        "{}",
        "a {} b",
        '"{}"',
        "'{}'",
        "({})",
        "https://{}/aws_mwaa/cli",
        "said: {}, and",
        "\n{}\n",
        "Bearer {}",
        "x={};",
        "[{}]",
    ]
)
REDACTION = Redaction({"acme-prod-analytics": "<environment>", "alice@acme.com": "<caller>", "": "<nothing>"})


def inside(secret: str, frame: str, depth: int) -> Any:
    value: Any = frame.format(secret)
    for level in range(depth):
        value = [value, level] if level % 2 else {"key": value, str(value): None}
    return value


@given(st.data())
def test_nothing_of_it_survives(data: st.DataObject) -> None:
    """In texts, lists, objects and their keys."""
    secret = data.draw(secrets)
    value = inside(secret, data.draw(around), data.draw(st.integers(0, 3)))
    assert secret not in json.dumps(REDACTION.value(value))


@given(st.lists(secrets, min_size=1, max_size=4), st.sampled_from([" ", ", ", " - ", "\n", " / "]))
def test_several_in_one_text(several: list[str], between: str) -> None:
    """And what was redacted once stays as it is."""
    redacted = REDACTION.text(between.join(several))
    assert not [secret for secret in several if secret in redacted]
    assert REDACTION.text(redacted) == redacted


@given(accounts.map(int), st.integers(1, 3))
def test_an_account_that_is_a_number(account: int, depth: int) -> None:
    """Twelve digits are never a quantity here."""
    if account >= 10**11:
        value: Any = account
        for _ in range(depth):
            value = [value]
        assert str(account) not in json.dumps(REDACTION.value(value))


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("environment acme-prod-analytics of alice@acme.com", "environment <environment> of <caller>"),
        ("arn:aws:iam::123456789012:role/x is not", "<arn> is not"),
        ("https://abc.c7.eu-west-1.airflow.amazonaws.com/aws_mwaa/cli", "https://<host>/aws_mwaa/cli"),
        ("1234-5678-9012", "<account>"),
        (
            '[{"triggering_user_name": "bob", "state": "queued"}]',
            '[{"triggering_user_name": "<caller>", "state": "queued"}]',
        ),
        ("session=.eJw1a; x", "session=<token>; x"),
        (r'"said:\nAKIAIOSFODNN7EXAMPLE\n"', r'"said:\n<token>\n"'),
        (r'"to:\tacme-prod-analytics\n"', r'"to:\t<environment>\n"'),
        (r'"at:\nlocalhost:8080\n"', r'"at:\n<host>\n"'),
    ],
)
def test_what_stands_there_instead(text: str, redacted: str) -> None:
    """A placeholder that says what it was."""
    assert REDACTION.text(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "airflow.exceptions.DagRunAlreadyExists: A DAG Run already exists for DAG d at 2026-11-29T09:15:00.123456+00:00",
        "certify__20261129T091500__at-once-1",
        "dags trigger --no-replace-microseconds -o json --run-id=certify__20261129T091500__start --conf='{}' d",
        "airflow dags command error: argument GROUP_OR_COMMAND > SUBCOMMAND: invalid choice: 'no-such-command'",
        "ParamValidationError: Invalid input for param seconds: 'no number' is not of type 'integer'",
    ],
)
def test_what_a_fixture_needs_stays(text: str) -> None:
    """The words by which the gateway reads an answer, and run_ids of a certification."""
    assert REDACTION.text(text) == text


@pytest.mark.parametrize("character", ["x", "X", "7", "a.", "-", "1.", "A b", "/", ":", "arn:aws:", "eyJ."])
def test_a_long_text_takes_one_pass(character: str) -> None:
    """A quadratic pattern would not come to an end with it."""
    assert REDACTION.text(character * 200_000)


def test_other_values_stay() -> None:
    """Numbers, truth values and nothing."""
    assert REDACTION.value({"triggering_user_name": "bob"}) == {"triggering_user_name": "<caller>"}
    value = {"a": [1, 2.5, True, None, -3], "b": {"c": 1_000}}
    assert REDACTION.value(value) == value
    assert REDACTION.value(object) == REDACTION.text(str(object))
