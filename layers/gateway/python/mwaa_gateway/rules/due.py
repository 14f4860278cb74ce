"""When a batch is due, and the days that are expected to have one."""

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final, Literal

from mwaa_gateway.conf.text_template import TextTemplate
from mwaa_gateway.errors import ConfError
from mwaa_gateway.rules.fields import Duration, Integer, OneOf, Own, RuleField, Text
from mwaa_gateway.values import value

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

LONGEST_OPEN_SECONDS: Final = (
    30 * 86_400
)  # of a batch, whatever the rule says; the TTLs of the batches table depend on it
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = f"({'|'.join(_DAYS)})"
EXPECTED: Final = f"(daily|{_DAY}(-{_DAY})?(,{_DAY}(-{_DAY})?)*)"
_DATE_FORMATS: Final = {"YYYY-MM-DD": "%Y-%m-%d", "YYYYMMDD": "%Y%m%d"}


@value
class Due:
    """The time by which a batch should be complete: `after` its first member, or `at` a time of day.

    `date` names a part of the batch's key: the batch of 2026-11-22 is due `day` days after that date. Without it, the batch
    is due at the first `at` after its first member. A time that the zone skips on that day is as much later; of one that
    comes twice, the first counts.
    """

    after: Annotated[
        int | None,
        RuleField(Duration(LONGEST_OPEN_SECONDS, "30m, 3h or 1d"), "Due so long after the first member."),
    ] = None
    at: Annotated[
        str | None,
        RuleField(
            Text("([01][0-9]|2[0-3]):[0-5][0-9]", 'a time of day in quotes, from "00:00" to "23:59"'),
            'Due at this time of day, as in "06:00".',
        ),
    ] = None
    timezone: Annotated[
        str,
        RuleField(
            Text("[A-Za-z0-9_+/-]{1,64}", "a time zone of the IANA database, as in Europe/Zurich"),
            "The time zone of `at`, as in Europe/Zurich; UTC without one.",
        ),
    ] = "UTC"
    date: Annotated[
        TextTemplate | None,
        RuleField(
            Own(lambda template: template.text),
            "The date that the batch belongs to, from its key: <date>, or <year>-<month>-<day>.",
        ),
    ] = None
    date_format: Annotated[
        Literal["YYYY-MM-DD", "YYYYMMDD"],
        RuleField(OneOf(Literal["YYYY-MM-DD", "YYYYMMDD"]), "How the key writes the date."),
    ] = "YYYY-MM-DD"
    day: Annotated[
        int, RuleField(Integer(0, 31), "So many days after the date: 1 is the morning of the next day.")
    ] = 0

    def time_of(self, key: Mapping[str, str], first_at: float) -> float:
        """Return when a batch with this key and first member is due.

        Raises:
            ConfError: The key has no such date.
        """
        if self.after is not None:
            return first_at + self.after
        if self.date is not None:
            return self.time_on(self.date_of(key))
        first_day = dt.datetime.fromtimestamp(first_at, self._zone).date()
        at = self.time_on(first_day)
        return at if at > first_at else self.time_on(first_day + dt.timedelta(days=1))

    def time_on(self, day: dt.date) -> float:
        """Return when the batch of a date is due."""
        at = dt.time.fromisoformat(self.at or "00:00")
        return dt.datetime.combine(day + dt.timedelta(days=self.day), at, self._zone).timestamp()

    def date_of(self, key: Mapping[str, str]) -> dt.date:
        """Return the date in a batch's key.

        Raises:
            ConfError: The key has no such date.
        """
        text = self.date.fill({}, key) if self.date else ""
        try:
            found = dt.datetime.strptime(text, _DATE_FORMATS[self.date_format]).replace(tzinfo=dt.UTC).date()
            if found.strftime(_DATE_FORMATS[self.date_format]) == text and found.year < dt.date.max.year:
                return found
        except ValueError:
            pass
        raise ConfError(f"the date in the batch key is {text[:100]!r}; expected {self.date_format}")

    def text_of(self, day: dt.date) -> str:
        """Return a date as the key writes it."""
        return day.strftime(_DATE_FORMATS[self.date_format])

    def today(self, now: float) -> dt.date:
        """Return the date at `now` in the time zone."""
        return dt.datetime.fromtimestamp(now, self._zone).date()

    @property
    def _zone(self) -> "ZoneInfo":
        # Imported here: a cold start of the functions that never ask costs two milliseconds less.
        from zoneinfo import ZoneInfo  # noqa: PLC0415

        return ZoneInfo(self.timezone)


def days_of(expected: str) -> frozenset[int]:
    """Return the days of the week, 0 is Monday, of `daily`, `mon-fri` or `mon,wed`."""
    if expected == "daily":
        return frozenset(range(7))
    days: set[int] = set()
    for part in expected.split(","):
        first, _, last = part.partition("-")
        start = _DAYS.index(first)
        days.update((start + step) % 7 for step in range((_DAYS.index(last or first) - start) % 7 + 1))
    return frozenset(days)
