"""The forms that the console's own pages send."""

import secrets
from typing import Final
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

_MOST_BYTES: Final = 1_000_000  # an event is 1 MB at most


async def read_form(request: Request, csrf: str) -> dict[str, list[str]]:
    """Return the fields of a form.

    Raises:
        HTTPException: it is too large, or lacks the CSRF token of this console.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise HTTPException(413, "the form is too large")
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=2_000)
    except ValueError as error:
        raise HTTPException(400, "the form cannot be read") from error
    if not secrets.compare_digest(fields.get("csrf", [""])[0].encode(), csrf.encode()):
        raise HTTPException(403, "the form does not come from this console: load its page again")
    return fields
