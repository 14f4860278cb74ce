"""The suite can fail: each safeguard switched off turns its own observable red, and nothing else does."""

from collections.abc import Callable

import pytest

from simulation import days
from simulation.safeguards import Off, Safeguard, goes_red_without

DERIVED_RUN_ID: Off = (
    "airflow.cli",
    "--run-id={run_id} --conf",
    "--run-id=manual__{__import__('uuid').uuid4().hex} --conf",
)
MICROSECONDS: Off = ("airflow.cli", 'f"dags trigger --no-replace-microseconds -o', 'f"dags trigger -o')
EVIDENCE_OF_OUR_RUN: Off = (
    "airflow.cli",
    'if text.endswith(f"for DAG {target.dag_id} with run id {target.run_id}"):',
    "if text:",
)
EVIDENCE_AT_ALL: Off = (
    "airflow.cli",
    'return OutcomeUnknown(Reason.UNCLEAR_ANSWER, "Airflow\'s answer contains neither our run nor an error")',
    "return Triggered()",
)

FENCES: tuple[Off, ...] = (
    (
        "aws.dynamodb.ledger_table",
        '_STILL_MINE = "#state = :open AND attempt = :attempt"',
        '_STILL_MINE = "attribute_exists(#state)"',
    ),
    (
        "aws.dynamodb.ledger_table",
        '_MINE_TO_END = "(#state = :open OR #state = :held) AND attempt = :attempt"',
        '_MINE_TO_END = "attribute_exists(#state)"',
    ),
)

SAFEGUARDS = {
    "the run_id is derived": Safeguard((DERIVED_RUN_ID,), days.lost_answers, "doubled"),
    "evidence of our run_id, and microseconds kept": Safeguard(
        (EVIDENCE_OF_OUR_RUN, MICROSECONDS), days.a_second, "lost"
    ),
    "evidence of our run_id, alone": Safeguard((EVIDENCE_OF_OUR_RUN,), days.taken_dates, "lost"),
    "evidence of any run, alone": Safeguard((EVIDENCE_AT_ALL,), days.garbled_answers, "lost"),
    "microseconds kept, alone": Safeguard((MICROSECONDS,), days.a_second, "commands per run"),
    "writes are fenced by the attempt": Safeguard(
        FENCES,
        days.overtaken,
        "finished ledger rows changed",
    ),
    "the first attempt's target is pinned": Safeguard(
        (
            (
                "aws.dynamodb.ledger_table",
                "            return read_attempt(new)\n        # Refused",
                (
                    "            return __import__('dataclasses').replace(read_attempt(new), request=request)\n"
                    "        # Refused"
                ),
            ),
            (
                "aws.dynamodb.ledger_table",
                "#state = :open AND environment = :environment AND claim_id <> :claim_id",
                "#state = :open AND claim_id <> :claim_id",
            ),
        ),
        days.moved_rule,
        "doubled",
    ),
    "our own claim is recognised": Safeguard(
        (("aws.dynamodb.ledger_table", 'if text(old, "claim_id") == claim_id:', "if False:"),),
        days.lost_writes,
        "lost",
    ),
    "our own record is recognised": Safeguard(
        (
            (
                "aws.dynamodb.ledger_table",
                'if int(old["attempt"]["N"]) == attempt.number and old["state"]["S"] == state:',
                "if False:",
            ),
        ),
        days.lost_writes,
        "deliveries per request",
    ),
    "what is given back is reported": Safeguard(
        (
            (
                "dispatch.delivery",
                "late else self._deliver(message):",
                "late else self._deliver(message) is not None:",
            ),
        ),
        days.refusals,
        "lost",
    ),
    "what is done is not reported": Safeguard(
        (
            (
                "dispatch.delivery",
                "late else self._deliver(message):",
                "late else not self._deliver(message):",
            ),
        ),
        days.no_trouble,
        "deliveries per request",
    ),
    "an exception's own text is not told": Safeguard(
        (
            (
                "aws.mwaa.https",
                'text = f"{type(error).__name__} while talking to the web server"',
                'text = f"{error} while talking to the web server"',
            ),
        ),
        days.lost_answers,
        "a CLI token",
    ),
    "the gate of an environment": Safeguard(
        (
            (
                "dispatch.circuit_breaker",
                "return wait\n        if (dag := self",
                "pass\n        if (dag := self",
            ),
        ),
        days.one_environment_away,
        "commands sent to a web server that was away",
    ),
    "one probe for each DAG that is missing": Safeguard(
        (
            (
                "dispatch.circuit_breaker",
                "if (dag := self._dags.get(target.dag_id)) is None:\n            return Pass()",
                "if True:\n            return Pass()",
            ),
        ),
        days.a_dag_that_never_comes,
        "commands for a DAG that Airflow does not know",
    ),
    "a gate that cannot be told costs no outcome": Safeguard(
        (
            (
                "dispatch.dispatcher",
                "return self.circuit_breakers.record(target, answer, self.now())\n        except Unavailable:",
                "return self.circuit_breakers.record(target, answer, self.now())\n        except ZeroDivisionError:",
            ),
        ),
        days.breakers_that_cannot_be_written,
        "dead without need",
    ),
    "an attempt's end is worth waiting for": Safeguard(
        (
            (
                "aws.dynamodb.ledger_table",
                "if self._monotonic() + PAUSE_SECONDS > last_try_at:",
                "if True:",
            ),
        ),
        days.ends_that_are_not_taken_at_once,
        "dead without need",
    ),
    "writes are fenced by the attempt, with a purged run": Safeguard(
        FENCES, days.purged_and_redriven, "doubled"
    ),
    "what is done is never claimed again": Safeguard(
        (
            (
                "aws.dynamodb.ledger_table",
                "(#state = :open AND environment = :environment AND claim_id <> :claim_id)",
                "(environment = :environment AND claim_id <> :claim_id)",
            ),
        ),
        days.purged_and_delivered_again,
        "doubled",
    ),
    "five attempts without an outcome": Safeguard(
        (("dispatch.dispatcher", "if crashes >= CRASHES_UNTIL_DEAD:", "if False:"),),
        days.a_killer,
        "deliveries per request",
    ),
    "age counts from the first attempt": Safeguard(
        (("dispatch.give_up", "age = attempt.age(now)", "age = now - attempt.request.requested_at"),),
        days.waiting_for_slots,
        "dead without need",
    ),
    "the dead-letter queue is told": Safeguard(
        (
            (
                "dispatch.dispatcher",
                "            self.dead_letters.publish(request, outcome, attempt)",
                "            pass",
            ),
        ),
        days.a_dag_that_never_comes,
        "not dead",
    ),
    "a refused token is renewed at once": Safeguard(
        (
            (
                "aws.mwaa.cli",
                "if isinstance(answer, Retryable) and answer.reason is Reason.TOKEN_REFUSED:",
                "if False:",
            ),
        ),
        days.refused_tokens,
        "deliveries per request",
    ),
    "conf is one shell word": Safeguard(
        (("airflow.cli", '"\'", "\\\\u0027"', '"\'", "\'"'),), days.hostile_keys, "lost"
    ),
    "a batch's failed entries are sent again": Safeguard(
        (
            (
                "aws.sqs.queues",
                "waiting = {n: message for n, message in waiting.items() if n not in sent}",
                "waiting = {}",
            ),
        ),
        days.refused_entries,
        "lost",
    ),
    "what could not be taken in is reported": Safeguard(
        (("ingress.delivery", "error)\n            return False", "error)\n            return True"),),
        days.no_rules_to_be_read,
        "lost",
    ),
    "both routes of an upload have one identity": Safeguard(
        (
            (
                "events.s3",
                '_normalise_sequencer(text_of(described, "sequencer", "detail.object", default=""))',
                'text_of(described, "sequencer", "detail.object", default="")',
            ),
        ),
        days.two_routes,
        "doubled",
    ),
    "a large conf is in the bucket before its request is sent": Safeguard(
        (
            (
                "ingress.ingest",
                "        unstored = self._store(report.claim_checks)\n",
                "        self._enqueue(report.requests)\n        unstored = self._store(report.claim_checks)\n",
            ),
        ),
        days.large_confs,
        "before its conf was in the bucket",
    ),
    "events that share a key are one": Safeguard(
        (("routing.resolve", "if rule.dedupe_key is not None:", "if False:"),), days.shared_keys, "doubled"
    ),
    "a key is one within its window only": Safeguard(
        (("routing.resolve", "if key.window_seconds is not None:", "if False:"),), days.shared_keys, "lost"
    ),
    "over REST, a conflict is read by its cause": Safeguard(
        (("airflow.rest", "case 409 if _names_our_run_id(answer, target):", "case 409:"),),
        days.taken_dates_over_rest,
        "lost",
    ),
    "over REST, an error of the server is perhaps done": Safeguard(
        (("airflow.rest", "case 400 | 422:", "case 400 | 422 | 500 | 502 | 503 | 504:"),),
        days.lost_answers_over_rest,
        "lost",
    ),
    "a refused session is renewed at once": Safeguard(
        (
            (
                "aws.mwaa.web_session",
                "if isinstance(answer, RestAnswer) and _wants_login(call, answer):",
                "if False:",
            ),
        ),
        days.refused_sessions,
        "deliveries per request",
    ),
    "a fallback takes over when the login is refused": Safeguard(
        (
            (
                "aws.mwaa.fallback",
                "if not (isinstance(login, Retryable) and login.reason in _REFUSED):",
                "if True:",
            ),
        ),
        days.refused_logins,
        "deliveries per request",
    ),
    "over REST, ten calls a second": Safeguard(
        (("aws.mwaa.rest", "            self._sleep(at - now)", "            pass"),),
        days.a_second_over_rest,
        "deliveries per request",
    ),
}


@pytest.mark.guarantee
@pytest.mark.parametrize("name", SAFEGUARDS)
def test_without_it_the_suite_is_red(
    name: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, dict[str, str]], None]
) -> None:
    """With the safeguard its day is without a problem; without it, the observable named here goes red."""
    goes_red_without(name, SAFEGUARDS[name], monkeypatch, record_property)
