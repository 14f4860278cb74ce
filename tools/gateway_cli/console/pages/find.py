"""Find: what became of what the operator pasted. It is the answer of `mwaa-gateway why`."""

from dataclasses import dataclass
from typing import Any, Final

from gateway_cli.answers.addressing import addressed
from gateway_cli.answers.answer import judge
from gateway_cli.answers.case import Answer
from gateway_cli.answers.gathering import gather
from gateway_cli.answers.states import Ran
from gateway_cli.answers.subject import Subject, subject_of
from gateway_cli.connection import Connection
from gateway_cli.console.gateway import Gateway

SINCE: Final = {"1h": 3_600, "2d": 2 * 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
DEFAULT_SINCE: Final = "2d"
WORDS: Final = {
    Ran.YES: "it ran",
    Ran.NO: "it did not run",
    Ran.NOT_YET: "not yet",
    Ran.NOT_KNOWN: "not known",
}
_MOST_LINES: Final = 200


@dataclass(frozen=True, slots=True)
class Question:
    """What was pasted, how far back to search, and why it cannot be asked ("" if it can)."""

    pasted: str
    since: str
    subject: Subject | None = None
    refused: str = ""


def question(pasted: str, since: str) -> Question:
    """Read what the operator pasted; nothing at all is no question."""
    since = since if since in SINCE else DEFAULT_SINCE
    if not pasted.strip():
        return Question("", since)
    try:
        return Question(pasted, since, subject_of(pasted))
    except ValueError as error:
        return Question(pasted, since, None, f"What you pasted {error}.")


def answer(gateway: Gateway, asked: Question) -> dict[str, Any]:
    """Return the answer: one search of the log, and at most three more calls."""
    subject = asked.subject
    if subject is None:
        return {"answer": None, "why": asked.refused, "question": asked}

    def ask(connection: Connection) -> Answer:
        found = gather(connection, subject, since=gateway.now() - SINCE[asked.since])
        return addressed(judge(found), connection)

    reading = gateway.read(f"answer {asked.since} {subject.field} {subject.value}", ask)
    found = reading.value
    if found is not None and found.ran is Ran.NOT_KNOWN:
        gateway.identity(fresh=0)  # the reason may be expired credentials, which `gather` only notes
    return {
        "answer": found,
        "question": asked,
        "why": reading.why,
        "read_at": reading.at,
        "lines": found.lines[-_MOST_LINES:] if found else (),
        "left_out": max(0, len(found.lines) - _MOST_LINES) if found else 0,
        "words": WORDS,
    }
