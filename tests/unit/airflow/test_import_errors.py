"""Which import errors a reason quotes, how much of them, and how often they are read."""

from dataclasses import dataclass, field

import pytest

from mwaa_gateway.airflow.dag_list import NotListed
from mwaa_gateway.airflow.import_errors import READ_EVERY_SECONDS, BrokenFile, BrokenFiles, ImportErrors
from mwaa_gateway.outcomes import (
    Outcome,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
)

MISSING = Rejected(Reason.DAG_MISSING, "Airflow said DagNotFound: Dag id orders not found in DagModel")
TRACE = """Traceback (most recent call last):
  File "/usr/local/airflow/dags/orders.py", line 2, in <module>
    import orders_lib
ModuleNotFoundError: No module named 'orders_lib'
"""


def broken(*names: str, total: int | None = None) -> BrokenFiles:
    files = tuple(BrokenFile.of(f"/usr/local/airflow/dags/{name}", TRACE) for name in names)
    return BrokenFiles(files, len(files) if total is None else total)


@dataclass
class Airflow:
    """What each read finds, the last one again and again, and a clock."""

    finds: list[BrokenFiles | NotListed | Retryable | OutcomeUnknown | Exception]
    time: float = 0.0
    reads: int = 0
    import_errors: ImportErrors = field(init=False)

    def __post_init__(self) -> None:
        self.import_errors = ImportErrors(self.read, monotonic=lambda: self.time)

    def read(self) -> BrokenFiles | NotListed | Retryable | OutcomeUnknown:
        self.reads += 1
        found = self.finds.pop(0) if len(self.finds) > 1 else self.finds[0]
        if isinstance(found, Exception):
            raise found
        return found

    def text(self, dag_id: str = "orders", outcome: Outcome = MISSING) -> str:
        """The reason; the outcome is the same otherwise."""
        explained = self.import_errors.explain(outcome, dag_id)
        assert isinstance(explained, Rejected)
        assert isinstance(outcome, Rejected)
        assert (explained.reason, explained.run_may_exist) == (outcome.reason, outcome.run_may_exist)
        assert explained.text.startswith(f"{outcome.text}. ")
        return explained.text.removeprefix(f"{outcome.text}. ")


def test_the_file_and_its_exception_are_quoted() -> None:
    """Not the frames of the stack trace."""
    assert Airflow([broken("orders.py")]).text() == (
        "Import errors in Airflow: "
        "/usr/local/airflow/dags/orders.py: ModuleNotFoundError: No module named 'orders_lib'"
    )


def test_a_broken_dag_is_explained_too() -> None:
    """Airflow says that it has import errors, not which."""
    broke = Rejected(Reason.DAG_BROKEN, "Airflow said HTTP 400: DAG with dag_id: 'orders' has import errors")
    assert "ModuleNotFoundError" in Airflow([broken("orders.py")]).text(outcome=broke)


def test_any_other_reason_is_left_alone_and_nothing_is_read() -> None:
    """Import errors say nothing about it."""
    outcome = Rejected(Reason.CONF_REFUSED, "no")
    airflow = Airflow([broken("orders.py")])
    assert airflow.import_errors.explain(outcome, "orders") is outcome
    assert airflow.reads == 0


def test_files_named_like_the_dag_come_first_and_three_are_quoted() -> None:
    """A file may be named otherwise, so the others follow, in Airflow's order."""
    text = Airflow([broken("a.py", "b.py", "eu_orders.py", "c.py", "orders.py", total=120)]).text()
    quoted = [part.rpartition("/")[2].partition(":")[0] for part in text.split(" | ")[:3]]
    assert quoted == ["orders.py", "eu_orders.py", "a.py"]
    assert text.endswith(" | and 117 more")


def test_without_import_errors_the_file_is_not_there() -> None:
    """Then it is the deployment, or the rule, and no import."""
    assert Airflow([broken()]).text() == (
        "Airflow has no import errors: no file that defines this DAG is deployed, or it is not parsed yet"
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Retryable(Reason.WEB_SERVER_BUSY, "HTTP 503"), "web_server_busy: HTTP 503"),
        (OutcomeUnknown(Reason.UNCLEAR_ANSWER, "ReadTimeout"), "unclear_answer: ReadTimeout"),
        (NotListed("Airflow said HTTP 403: Forbidden"), "Airflow said HTTP 403: Forbidden"),
        (RuntimeError("canary"), "RuntimeError"),
    ],
)
def test_a_read_that_fails_leaves_the_outcome_and_says_so(
    found: NotListed | Retryable | OutcomeUnknown | Exception, said: str
) -> None:
    """The request is judged already; nothing that happens afterwards may change that."""
    assert Airflow([found]).text() == f"Import errors could not be read: {said}"


@pytest.mark.parametrize("first", [broken("orders.py"), broken(), NotListed("no"), RuntimeError("no")])
def test_one_read_in_five_minutes_whatever_came_of_it(first: BrokenFiles | NotListed | Exception) -> None:
    """A thousand requests for missing DAGs cost Airflow one command; the text says how old its answer is."""
    airflow = Airflow([first, broken("new.py")])
    for second in range(int(READ_EVERY_SECONDS)):
        airflow.time = second
        old = airflow.text(f"dag_{second}")
    assert airflow.reads == 1
    assert f"({READ_EVERY_SECONDS - 1:.0f} s ago): " in old
    airflow.time = READ_EVERY_SECONDS
    assert "Import errors in Airflow: /usr/local/airflow/dags/new.py" in airflow.text()
    assert airflow.reads == 2


@pytest.mark.parametrize(
    ("stack_trace", "error"),
    [
        (TRACE, "ModuleNotFoundError: No module named 'orders_lib'"),
        (
            'Traceback…\nyaml.scanner.ScannerError: mapping values are not allowed here\n  in "x.yaml", line 3\n',
            "yaml.scanner.ScannerError: mapping values are not allowed here",
        ),
        ("Traceback…\nKeyError: 'A'\n\nDuring handling…\n\nTraceback…\nRuntimeError\n", "RuntimeError"),
        ("DagBag import timeout for /dags/orders.py\n", "DagBag import timeout for /dags/orders.py"),
        ("", "no stack trace"),
        ("ValueError: a\x1b[31mb\x00c", "ValueError: a [31mb c"),
        (f"ValueError: {'x' * 1000}", f"ValueError: {'x' * 187}…"),
    ],
    ids=["traceback", "detail after it", "chained", "no exception", "empty", "control characters", "long"],
)
def test_the_line_that_names_the_exception_is_kept(stack_trace: str, error: str) -> None:
    """One line, printable, of at most 200 characters."""
    assert BrokenFile.of("orders.py", stack_trace).error == error


@pytest.mark.parametrize(
    "line",
    [
        "sqlalchemy.exc.OperationalError: postgresql://airflow:canary@db:5432/orders",
        "ValueError: connect(host='db', password='canary', port=1)",
        'KeyError: {"api_key": "canary"}',
        "RuntimeError: AWS_SECRET_ACCESS_KEY=canary",
        "RuntimeError: token: canary",
    ],
)
def test_what_looks_like_a_secret_is_masked(line: str) -> None:
    """A stack trace is printed, stored and sent on."""
    error = BrokenFile.of("orders.py", line).error
    assert "canary" not in error
    assert "***" in error


def test_a_reason_keeps_within_what_the_ledger_stores() -> None:
    """2,000 characters, with the longest of everything that may stand before and in it."""
    file = BrokenFile.of("/" + "d" * 1000 + ".py", f"ValueError: {'x' * 1000}")
    longest = Rejected(Reason.DAG_MISSING, "x" * 500)
    text = Airflow([BrokenFiles((file,) * 100, 10_000)]).text(outcome=longest)
    assert len(file.path) == 100
    assert text.endswith("| and 9997 more")
    assert len(text) <= 1000
    without_asking = f"Airflow has not known DAG {'d' * 250!r} for 1209600 s; its last answer: "
    assert len(f"{without_asking}{longest.text}. {text}") <= 2_000
