"""The shell line at `POST /aws_mwaa/cli`."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.mwaa.command_line import UnsupportedCommand, words_of


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"version", ["version"]),
        (b"dags trigger  orders\n", ["dags", "trigger", "orders"]),
        (b"dags trigger 'a b' \"c d\"", ["dags", "trigger", "a b", "c d"]),
        (b"dags trigger $(id) ; x", ["dags", "trigger", "$(id)", ";", "x"]),
        (b"variables set a b", ["variables", "set", "a", "b"]),
    ],
)
def test_a_line_is_split_as_a_shell_splits_it(body: bytes, expected: list[str]) -> None:
    """Quotes group and vanish; nothing is expanded or run."""
    assert words_of(body, airflow_major=3) == expected


@given(st.dictionaries(st.text(), st.text()))
def test_a_conf_in_single_quotes_arrives_unchanged(conf: dict[str, str]) -> None:
    """ASCII JSON without a single quote, between single quotes, is one word."""
    quoted = json.dumps(conf).replace("'", "\\u0027")
    words = words_of(f"dags trigger -c '{quoted}' orders".encode(), airflow_major=2)
    assert len(words) == 5
    assert json.loads(words[3]) == conf


@pytest.mark.parametrize(
    ("body", "airflow_major"),
    [
        (b"", 3),
        (b"celery worker", 3),
        (b"db migrate", 2),
        (b"users list", 2),
        (b"backfill create", 2),
        (b"dags backfill", 3),
        (b"dags trigger 'open", 3),
        (b"dags trigger \xff", 3),
        (b"dags trigger -c " + b"x" * (128 * 1024), 3),
    ],
)
def test_what_mwaa_does_not_run_is_refused(body: bytes, airflow_major: int) -> None:
    """Commands off AWS's list, lines that cannot be read, and words longer than a process may be given."""
    with pytest.raises(UnsupportedCommand):
        words_of(body, airflow_major=airflow_major)
