"""The report of a certification: questions and answers, in a shape that can become fixtures of the gateway's tests."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from gateway_cli.certify.redaction import Redaction

if TYPE_CHECKING:
    from gateway_cli.certify.asking import Answered

__all__ = ["FORMAT", "exit_code", "report"]

FORMAT: Final = 1


def report(
    answers: "Sequence[Answered]",
    *,
    about: Mapping[str, Any],
    left_behind: Sequence[str],
    redaction: Redaction,
) -> dict[str, Any]:
    """Return the document, without names and secrets of the account."""
    document = {
        "format": FORMAT,
        **about,
        "questions": [answered.document() for answered in answers],
        "left_behind": list(left_behind),
    }
    redacted: dict[str, Any] = redaction.value(document)
    return redacted


def exit_code(answers: "Sequence[Answered]") -> int:
    """Return 1 if a question failed, 3 if an answer is unknown, else 0; skipped questions do not count."""
    verdicts = {answered.verdict.verdict for answered in answers}
    return 1 if "fail" in verdicts else 3 if "unknown" in verdicts else 0
