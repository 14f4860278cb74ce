"""The dialect of an environment's Airflow: the requests that its versions accept in two forms, a newer and an older one.

A function does not know its environment's version, which an upgrade may change at any time. So each sandbox remembers, for
each request, the form that Airflow accepted last. Airflow refuses the other form without doing anything, and the gateway
then sends the accepted one: a wrong guess costs one repeated request.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from mwaa_gateway.airflow.cli import CommandAnswer
    from mwaa_gateway.airflow.rest import RestAnswer

Sent = TypeVar("Sent")


class Answer:
    """Airflow's answer to a request, which may refuse the request's form."""

    __slots__ = ()


Refusing = TypeVar("Refusing", bound=Answer)


@dataclass(frozen=True, slots=True, eq=False)
class Difference(Generic[Refusing]):
    """A request in two forms, and whether an answer of Airflow refuses the one that was sent.

    `newer_first`: a new sandbox sends the newer form first.
    """

    newer_refused: Callable[[Refusing], bool]
    older_refused: Callable[[Refusing], bool] = lambda _: False
    newer_first: bool = True


class Dialect:
    """The forms that one environment's Airflow accepts, as one sandbox knows them."""

    def __init__(self) -> None:
        self._newer: dict[object, bool] = {}

    def send(self, difference: Difference[Any], send: Callable[[bool], Sent]) -> Sent:
        """Call `send` with True for the newer form or False for the older one; if Airflow refuses it, with the other.

        Returns what the last call of `send` returned.
        """
        newer = self._newer.get(difference, difference.newer_first)
        answer = send(newer)
        refused = difference.newer_refused if newer else difference.older_refused
        if isinstance(answer, Answer) and refused(answer):
            self._newer[difference] = not newer
            return send(not newer)
        return answer


def _bad_request(answer: "RestAnswer", text: str) -> bool:
    """Return whether Airflow 2 refuses the request for a parameter or field that it does not know."""
    return answer.status == HTTPStatus.BAD_REQUEST and text in answer.detail()


# Commands

# Since 3.0: `dags trigger --logical-date=…`. Before, `--exec-date=…`; Airflow 2 sets a date even without it.
LOGICAL_DATE_OPTION: Difference["CommandAnswer"] = Difference(
    newer_refused=lambda answer: "unrecognized arguments: --logical-date" in answer.usage_error(),
    older_refused=lambda answer: "unrecognized arguments: --exec-date" in answer.usage_error(),
)
# Since 2.9: `dags list --columns=…`. Before, the list names paused DAGs, and no stale ones.
COLUMNS_OPTION: Difference["CommandAnswer"] = Difference(lambda answer: "--columns" in answer.usage_error())
# Since 3.0: `dags list-runs <dag_id>`. Before, `-d <dag_id>`. Each version refuses the other form as a usage error.
DAG_ARGUMENT: Difference["CommandAnswer"] = Difference(
    newer_refused=lambda answer: bool(answer.usage_error()),
    older_refused=lambda answer: bool(answer.usage_error()),
)

# REST calls


def _refuses_null_date(answer: "RestAnswer") -> bool:
    """Only the beginning of a text counts: the rest may quote the conf."""
    refused = re.match(r"\{'logical_date': |None is not of type .* - 'logical_date'", answer.detail())
    return refused is not None


# Since 3.0: start a run with `logical_date: null`. Airflow 3 requires the field, and Airflow 2 refuses null.
LOGICAL_DATE_FIELD: Difference["RestAnswer"] = Difference(
    newer_refused=_refuses_null_date,
    older_refused=lambda answer: ("missing", "logical_date") in answer.problem_locations(),
    newer_first=False,
)
# Since 3.0: list DAGs with `exclude_stale=false`. Before, `only_active=false`; Airflow 3 ignores that, and omits stale DAGs.
EXCLUDE_STALE: Difference["RestAnswer"] = Difference(
    newer_refused=lambda answer: _bad_request(answer, "exclude_stale"),
    older_refused=lambda answer: any("is_stale" in row for row in answer.rows("dags") or ()),
)
# Since 3.0: find the run of a logical date with `logical_date_gte`. Before, with `execution_date_gte`.
LOGICAL_DATE_FILTER: Difference["RestAnswer"] = Difference(
    newer_refused=lambda answer: _bad_request(answer, "logical_date_gte"),
    older_refused=lambda answer: ("extra_forbidden", "execution_date_gte") in answer.problem_locations(),
)
# Since 3.0: list runs with `run_after_gte`. Before, `execution_date_gte`.
RUN_AFTER_FIELD: Difference["RestAnswer"] = Difference(
    newer_refused=lambda answer: _bad_request(answer, "run_after_gte"),
    older_refused=lambda answer: ("extra_forbidden", "execution_date_gte") in answer.problem_locations(),
)
# Since 2.10: read a return value with `stringify=false`. Without it, 2.10 and 2.11 return Python text instead of JSON.
STRINGIFY: Difference["RestAnswer"] = Difference(lambda answer: _bad_request(answer, "stringify"))


def _has_no_such_login(answer: "RestAnswer") -> bool:
    return answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


# Since 3.0: log in at `/pluginsv2/aws_mwaa/login`, and call `/api/v2`. Before, `/aws_mwaa/login` and `/api/v1`.
WEB_LOGIN: Difference["RestAnswer"] = Difference(_has_no_such_login, _has_no_such_login)
