"""The transport that reaches each environment: the template's parameter `Transports`.

`rest` is MWAA's InvokeRestApi, `cli` an Airflow command with a CLI token, `web` a web login and Airflow's REST API itself.
`web/rest` and `web/cli` are `web` with a fallback for the time in which MWAA refuses the login. The parameter names one
of them for all environments (`rest`), or one for each by name (`analytics=web/rest,legacy=cli`).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Self

from mwaa_gateway.errors import GatewayError
from mwaa_gateway.values import value

REST: Final = "rest"
CLI: Final = "cli"
WEB: Final = "web"
_KNOWN: Final = (REST, CLI, WEB, f"{WEB}/{REST}", f"{WEB}/{CLI}")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,31}")
_EXAMPLES: Final = (
    "write rest, cli, web, web/rest or web/cli for every environment, or one for each by name: "
    "analytics=rest,legacy=cli"
)


class InvalidTransports(GatewayError, ValueError):
    """`Transports` is invalid, or names no transport for an environment; the text says what to write."""


def parts(transport: str) -> tuple[str, ...]:
    """Return the transports that `transport` names: the one in use, then the fallback if there is one."""
    return tuple(transport.split("/"))


@value
class Transports:
    """One transport for all environments, or one for each by name.

    Never both: with a default, a misspelt name would silently give its environment the default transport. Without one,
    that environment has no transport, and its functions report it.
    """

    everywhere: str | None
    by_environment: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the parameter's text. Raises InvalidTransports."""
        if text.strip() in _KNOWN:
            return cls(text.strip(), {})
        chosen: dict[str, str] = {}
        for entry in text.split(","):
            name, separator, transport = (part.strip() for part in entry.partition("="))
            if not (separator and _NAME.fullmatch(name)):
                raise InvalidTransports(f"{entry.strip()!r} is not name=transport: {_EXAMPLES}")
            if transport not in _KNOWN:
                raise InvalidTransports(f"environment {name!r} has no transport {transport!r}: {_EXAMPLES}")
            if name in chosen:
                raise InvalidTransports(f"environment {name!r} is named twice: keep one of the two entries")
            chosen[name] = transport
        return cls(None, chosen)

    def of(self, environment: str) -> str:
        """Return the environment's transport, such as `rest` or `web/rest`.

        Raises:
            InvalidTransports: the parameter does not name `environment`.
        """
        if self.everywhere is not None:
            return self.everywhere
        try:
            return self.by_environment[environment]
        except KeyError:
            named = ", ".join(sorted(self.by_environment))
            raise InvalidTransports(
                f"environment {environment!r} has no transport; the stack's parameter Transports names only {named}: set it "
                f"to one transport for all environments, or add {environment}=rest or {environment}=cli"
            ) from None

    def by_name(self, environments: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the parts of each environment's transport, without the environments that have none."""
        chosen = {name: self.everywhere or self.by_environment.get(name) for name in environments}
        return {name: parts(transport) for name, transport in chosen.items() if transport}

    def unknown(self, environments: Iterable[str]) -> list[str]:
        """Return the names in the parameter that are not in `environments`."""
        return sorted(self.by_environment.keys() - set(environments))
