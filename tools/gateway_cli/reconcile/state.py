"""What a command knows so far, in a SQLite file: memory stays constant, and an interrupted command continues.

Each page of a listing or a scan is one transaction, with the place where the next page begins.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from gateway_cli.reconcile.wants import Want
from mwaa_gateway.dispatch.s3_objects import ListedObject
from mwaa_gateway.trigger_request import event_hash

_FORMAT: Final = "1"
_SCHEMA: Final = """
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE wants (
    id INTEGER PRIMARY KEY, key TEXT, version_id TEXT, etag TEXT, size INTEGER, modified REAL, seen_at REAL,
    rule_id TEXT, target_id TEXT, row TEXT, name TEXT, run_id TEXT, is_own INTEGER, state TEXT, why TEXT,
    is_claimed INTEGER DEFAULT 0,
    UNIQUE (key, version_id, rule_id, target_id)
);
CREATE INDEX by_row ON wants (row, rule_id, target_id);
CREATE INDEX by_name ON wants (name, rule_id, target_id);
CREATE INDEX by_state ON wants (state, id);
"""
# A want is known to be the last of these that applies.
STATES: Final = (
    "refused",
    "never",
    "unsure",
    "sent",
    "collected",
    "waiting",
    "held",
    "dead",
    "ran",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A want with its number in the file, and what is known of it."""

    id: int
    listed: ListedObject
    rule_id: str
    target_id: str
    row: str
    run_id: str
    is_own: bool
    state: str
    why: str

    @property
    def uri(self) -> str:
        """The object's URI."""
        return f"s3://{self.listed.bucket}/{self.listed.key}"


class State:
    """The file. Every change is in a `transaction`."""

    def __init__(self, file: Path | str, bucket: str) -> None:
        self._bucket = bucket
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA synchronous = NORMAL")

    @classmethod
    def opened(cls, file: Path | str, bucket: str) -> Self:
        """Open a file, and create its tables if it has none of this version."""
        state = cls(file, bucket)
        tables = {row[0] for row in state._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "notes" in tables and state.note("format") != _FORMAT:
            for table in tables:
                state._db.execute(f"DROP TABLE {table}")
            tables = set()
        if not tables:
            state._db.executescript(_SCHEMA)
            state.keep("format", _FORMAT)
        return state

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all changes or none."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # --- notes: where a step is, and counts

    def note(self, name: str) -> Any:
        """Return a note; None if there is none."""
        found = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if found is None else json.loads(found[0])

    def keep(self, name: str, value: Any) -> None:
        """Write a note."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, json.dumps(value)))

    def count(self, name: str, number: int = 1) -> None:
        """Add to a note that is a number."""
        self.keep(name, (self.note(name) or 0) + number)

    # --- wants

    def add(self, wants: Iterable[Want]) -> None:
        """Add wants; one that is there already stays as it is."""
        self._db.executemany(
            "INSERT OR IGNORE INTO wants (key, version_id, etag, size, modified, seen_at, rule_id, target_id, row, name,"
            " run_id, is_own, state, why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    want.listed.key,
                    want.listed.version_id,
                    want.listed.etag,
                    want.listed.size,
                    want.listed.modified,
                    want.listed.seen_at,
                    want.rule_id,
                    want.target_id,
                    want.row,
                    event_hash(want.listed.name),
                    want.run_id,
                    want.is_own,
                    want.state,
                    want.why,
                )
                for want in wants
            ),
        )

    def of_row(self, row: str, rule_id: str, target_id: str) -> list[Row]:
        """Return the wants whose own row this is."""
        return self._rows("row = ? AND rule_id = ? AND target_id = ?", row, rule_id, target_id)

    def of_name(self, name: str, rule_id: str, target_id: str) -> list[Row]:
        """Return the wants whose claims have the name with this SHA-256."""
        return self._rows("name = ? AND rule_id = ? AND target_id = ?", name, rule_id, target_id)

    def of_key(self, key: str, rule_id: str) -> list[Row]:
        """Return the wants of a rule for an object."""
        return self._rows("key = ? AND rule_id = ?", key, rule_id)

    def learn(self, want: Row, state: str, why: str = "") -> None:
        """Note what is known of a want now, unless more is known already.

        Nothing new of one that is reserved: that its request was sent before, and a doubt that was accepted.
        """
        if want.state == "reserved" and (state == "sent" or (state == "unsure" and want.why)):
            return
        if want.state not in STATES or STATES.index(state) >= STATES.index(want.state):
            self.set(want.id, state, why)

    def set(self, number: int, state: str, why: str = "") -> None:
        """Set the state of a want."""
        self._db.execute("UPDATE wants SET state = ?, why = ? WHERE id = ?", (state, why, number))

    def claim(self, number: int, *, is_claimed: bool) -> None:
        """Note whether a claim is written for a want, and not decided yet."""
        self._db.execute("UPDATE wants SET is_claimed = ? WHERE id = ?", (is_claimed, number))

    def claimed(self, most: int) -> list[Row]:
        """Return at most so many wants whose claims are not decided."""
        return self._rows(f"is_claimed = 1 ORDER BY id LIMIT {most}")

    def page(self, states: Sequence[str], after: int, most: int) -> list[Row]:
        """Return at most so many wants in these states, in the order of their numbers, after one number."""
        marks = ", ".join("?" * len(states))
        return self._rows(f"state IN ({marks}) AND id > ? ORDER BY id LIMIT {most}", *states, after)

    def each(self, states: Sequence[str]) -> Iterator[Row]:
        """Yield every want in these states."""
        after = 0
        while page := self.page(states, after, 500):
            yield from page
            after = page[-1].id

    def counts(self) -> dict[tuple[str, str, str], int]:
        """Return the number of wants by rule, target and state."""
        found = self._db.execute(
            "SELECT rule_id, target_id, state, COUNT(*) FROM wants GROUP BY rule_id, target_id, state ORDER BY 1, 2"
        )
        return {(rule, target, state): number for rule, target, state, number in found}

    def number(self, *states: str) -> int:
        """Return the number of wants in these states."""
        marks = ", ".join("?" * len(states))
        query = f"SELECT COUNT(*) FROM wants WHERE state IN ({marks})"  # noqa: S608  question marks
        found = self._db.execute(query, states)
        return int(found.fetchone()[0])

    def _rows(self, condition: str, *values: Any) -> list[Row]:
        query = f"SELECT * FROM wants WHERE {condition}"  # noqa: S608  a text of this module
        return [self._row(found) for found in self._db.execute(query, values)]

    def _row(self, found: sqlite3.Row) -> Row:
        listed = ListedObject(
            self._bucket,
            found["key"],
            found["etag"],
            found["version_id"],
            found["modified"],
            found["seen_at"],
            found["size"],
        )
        return Row(
            found["id"],
            listed,
            found["rule_id"],
            found["target_id"],
            found["row"],
            found["run_id"],
            bool(found["is_own"]),
            found["state"],
            found["why"],
        )
