"""Failing on request, shared by every fake."""

from dataclasses import dataclass, field

from mwaa_gateway.errors import Unavailable


@dataclass
class Failures:
    """How many of the next calls fail, by the method's name."""

    coming: dict[str, int] = field(default_factory=dict)

    def raise_if_due(self, method: str) -> None:
        """Raise Unavailable if a failure of this method was asked for."""
        if self.coming.get(method, 0):
            self.coming[method] -= 1
            raise Unavailable(f"{method} fails on request")
