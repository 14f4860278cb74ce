"""Applies the active faults to a request to any part of MWAA."""

from collections.abc import Callable
from http import HTTPStatus
from typing import assert_never

from local_stack.mwaa.environment import Environment
from local_stack.mwaa.faults import Fault, garble
from local_stack.mwaa.http_server import Answer, NoAnswer


def answered_or_not(
    environment: Environment, run: Callable[[], Answer], *, busy: Answer, refused: Answer, broken: Answer
) -> Answer:
    """Run the request, or do what the next fault says. Raises NoAnswer.

    `busy`, `refused` and `broken` are the answers for 503, an expired token and 500.
    """
    fault, detail = environment.schedule.next()
    if fault is not None:
        environment.count.add(f"fault {fault.value}")
    match fault:
        case Fault.ERROR_503:
            return busy
        case Fault.EXPIRED_TOKEN:
            return refused
        case Fault.RESET_BEFORE:
            raise NoAnswer(reset=True)
        case Fault.LOST_RESPONSE | Fault.RESET_AFTER:
            run()
            raise NoAnswer(reset=fault is Fault.RESET_AFTER)
        case Fault.GARBLED:
            return Answer(HTTPStatus.OK, garble(run().body, detail))
        case Fault.ERROR_500:
            run()
            return broken
        case None:
            return run()
        case _:
            assert_never(fault)
