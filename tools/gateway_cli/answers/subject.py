"""What an operator pastes: which field of the trail it names, and its value."""

import json
import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote

Field = Literal["resource", "run_id", "batch_id", "event_id", "identity"]

_RUN_ID: Final = re.compile(r"evt__[A-Za-z0-9_.-]+__[0-9a-f]{32}(__r\d{1,4})?")
_BATCH_ID: Final = re.compile(r"[0-9a-f]{32}")
_IDENTITY: Final = re.compile(r"[0-9a-f]{64}")
_S3_ARN: Final = re.compile(r"arn:aws[a-z-]*:s3:::([^/]+/.+)")
_CONSOLE_URL: Final = re.compile(
    r"https://[^/]*console\.aws\.amazon\.com/s3/object/([^?]+)\?(?:.*&)?prefix=([^&]+)"
)
# The first that a log line has: the run is more exact than its event.
_IN_LINES: Final[tuple[Field, ...]] = ("run_id", "batch_id", "event_id", "identity", "resource")


@dataclass(frozen=True, slots=True)
class Subject:
    """The field of the trail by which the event, run or batch is found, and its value."""

    field: Field
    value: str

    @property
    def is_upload(self) -> bool:
        """Whether it names an object in S3."""
        return self.field == "resource" and self.value.startswith("s3://")


def subject_of(pasted: str) -> Subject:
    """Recognise an S3 URI or ARN, a run_id, a batch id, an ARN, a JSON log line; anything else is an event id.

    Raises:
        ValueError: it is empty, or a log line without any of the fields.
    """
    text = pasted.strip()
    if not text:
        raise ValueError(
            "is empty: name an s3:// URI, an event id, a run_id, a batch id, or paste a log line"
        )
    if text.startswith("{"):
        return _of_line(text)
    if found := _CONSOLE_URL.match(text):
        return Subject("resource", f"s3://{found[1]}/{unquote(found[2])}")
    if found := _S3_ARN.fullmatch(text):
        return Subject("resource", f"s3://{found[1]}")
    if text.startswith(("s3://", "sns:", "arn:")):
        return Subject("resource", text)
    if _RUN_ID.fullmatch(text):
        return Subject("run_id", text)
    if _IDENTITY.fullmatch(text):
        return Subject("identity", text)
    if _BATCH_ID.fullmatch(text):
        return Subject("batch_id", text)
    return Subject("event_id", text)


def _of_line(text: str) -> Subject:
    try:
        line = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"looks like a log line and is not valid JSON ({error}): paste the whole line"
        ) from None
    for field in _IN_LINES:
        if isinstance(value := line.get(field), str) and value:
            return Subject(field, value)
    raise ValueError(f"is a log line without {', '.join(_IN_LINES)}: it is not about an event")
