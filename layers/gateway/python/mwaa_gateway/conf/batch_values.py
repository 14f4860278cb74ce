"""What a released batch adds to a conf: an object under the reserved key, and the placeholders `<batch.…>`.

<batch.id> <batch.number> <batch.reason> <batch.complete> <batch.late> <batch.count> <batch.bytes>
<batch.first_at> <batch.last_at> <batch.manifest>
<batch.key.NAME>                   a part of the key
<batch.missing> <batch.members>    lists, only as whole values; each entry of the latter looks as member_template says
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from mwaa_gateway.values import value

PREFIX: Final = "batch."
MEMBERS: Final = "batch.members"
LISTS: Final = ("batch.missing", MEMBERS)
_NAMES: Final = (
    *("id", "number", "reason", "complete", "late", "missing", "count", "bytes"),
    *("first_at", "last_at", "manifest", "members"),
)
# The fields of a line of the manifest: of an S3 object, of any other event, and of both.
LINE_FIELDS: Final = (
    *("uri", "bucket", "key", "size", "etag", "version-id", "sequencer"),
    *("version", "id", "detail-type", "source", "account", "region", "resources", "detail"),
    *("time", "part"),
)


@value
class BatchValues:
    """A released batch, as its runs get it.

    `facts` is the object under the reserved key: the detail of the batch's event. `lines` are its members as in the
    manifest, None if only the manifest has them.
    """

    facts: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]] | None = field(repr=False)

    def placeholders(self) -> dict[str, Any]:
        """Return the values of the placeholders by name, without `batch.members`."""
        values = {f"{PREFIX}{name}": self.facts[name] for name in _NAMES if name != "members"}
        return values | {f"{PREFIX}key.{name}": value for name, value in self.facts["key"].items()}


def key_placeholders(key_names: Collection[str]) -> list[str]:
    """Return the names of the placeholders for the parts of a key."""
    return [f"{PREFIX}key.{name}" for name in key_names]


def placeholders(key_names: Collection[str]) -> list[str]:
    """Return the names of all placeholders that a rule with `collect` has, by the names in its key."""
    return [*(f"{PREFIX}{name}" for name in _NAMES), *key_placeholders(key_names)]
