"""What AWS would bill for the calls that a test makes, and the table that a page has of it."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

__all__ = ["Bill", "Meter", "PriceList", "log_bytes", "read_units_of_keys", "units"]

# What one call comes to, of its parameters and its answer: units of what, and how many.
Bill = Callable[[Any, Any], tuple[str, float]]


@dataclass
class Meter:
    """Counts what AWS would bill for every call that is made while it is on; one that has no bill fails the test.

    Operations that are `free` go no further than here.
    """

    bills: Mapping[str, Bill]
    free: Collection[str] = ()
    billed: Counter[str] = field(default_factory=Counter)
    asked: dict[str, Any] = field(default_factory=dict)  # the parameters of each operation's last call

    @contextmanager
    def on(self) -> Iterator[Counter[str]]:
        ask = BaseClient._make_api_call

        def call(client: Any, operation: str, params: Any) -> Any:
            if operation in self.free:
                return {}
            assert operation in self.bills, f"{operation} has no price here"
            self.asked[operation] = params
            try:
                answer = ask(client, operation, params)
            except ClientError as error:
                # A conditional write that is refused is billed, too, by the item that refused it.
                if "Item" in error.response:
                    self._bill(operation, params, {"Attributes": error.response["Item"]})
                raise
            self._bill(operation, params, answer)
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", call)
            yield self.billed

    def _bill(self, operation: str, params: Any, answer: Any) -> None:
        what, number = self.bills[operation](params, answer)
        self.billed[what] += number


def log_bytes(lines: Iterable[str]) -> int:
    """What CloudWatch Logs counts of log lines: their bytes, and 26 for each."""
    return sum(len(line.encode()) + 26 for line in lines)


def read_units_of_keys(params: Any, _answer: Any) -> tuple[str, float]:
    """A BatchGetItem: for each item of at most 4 KB, there or not, a unit if the read is consistent, else half of one."""
    tables = params["RequestItems"].values()
    return "DynamoDB read units", sum(
        len(table["Keys"]) / (1 if table.get("ConsistentRead") else 2) for table in tables
    )


def units(size: int, *, kilobytes: int = 1) -> int:
    """What so many bytes come to, in units of `kilobytes` that count when they are begun."""
    return math.ceil(size / (kilobytes * 1024))


@dataclass(frozen=True)
class PriceList:
    """What a million of each unit cost, in dollars; what has no price is `counted_too`."""

    dollars_per_million: Mapping[str, float]
    counted_too: tuple[str, ...] = ()

    @property
    def counted(self) -> list[str]:
        return [*self.dollars_per_million, *self.counted_too]

    def dollars(self, counted: Mapping[str, float]) -> float:
        """Of a million of what came to this."""
        return sum(counted[name] * price for name, price in self.dollars_per_million.items())

    def table(
        self, of_one: str, of_a_million: str, columns: Mapping[str, Mapping[str, float]], *, places: int
    ) -> str:
        """As the page has it: a row for each unit, and one of dollars, with so many places."""
        rows = [f"| {of_one} | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
        for name in self.counted:
            cells = [
                f"{one[name]:,.{0 if one[name] >= 100 else 2}f}".removesuffix(".00") if one[name] else "none"
                for one in columns.values()
            ]
            rows.append(f"| {name} | {' | '.join(cells)} |")
        cells = [f"**${self.dollars(one):,.{places}f}**" for one in columns.values()]
        return "\n".join([*rows, f"| **{of_a_million}** | {' | '.join(cells)} |"])
