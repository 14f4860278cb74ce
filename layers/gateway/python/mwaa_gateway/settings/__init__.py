"""The functions' settings: environment variables that template.yaml sets and a function reads at its first event.

A function loads the module of its own kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from typing import Any, Self

from mwaa_gateway.errors import GatewayError
from mwaa_gateway.values import value


class InvalidSetting(GatewayError):
    """An environment variable is missing or invalid; the text names it."""


def setting(
    explained: str, parse: Callable[[str], Any] = str, *, default: Any = MISSING, variable: str = ""
) -> Any:
    """Return the field of a setting; `variable` is its environment variable, if that is not its name in capitals."""
    metadata = {"explained": explained, "parse": parse, "variable": variable}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def names(text: str) -> frozenset[str]:
    """Parse comma-separated names."""
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def queue_urls(kind: str) -> Any:
    """Return the field of the URL of one queue for each environment."""

    def parse(text: str) -> str:
        if "{environment}" not in text:
            raise ValueError("it must contain {environment}")
        return text

    return setting(f"URL of the {kind} queues, with {{environment}} for the environment's name", parse)


@value
class Settings:
    """Settings of one function: a field for each environment variable."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read each field from its variable: by default the one of the same name in capitals.

        Raises:
            InvalidSetting: a variable is missing or has the wrong form.
        """
        values: dict[str, Any] = {}
        for name, setting in cls.variables().items():
            try:
                if name in environ:
                    values[setting.name] = setting.metadata["parse"](environ[name])
                elif setting.default is MISSING:
                    raise InvalidSetting(
                        f"environment variable {name} is not set: {setting.metadata['explained']}"
                    )
            except ValueError as error:
                raise InvalidSetting(f"environment variable {name} is invalid: {error}") from error
        return cls(**values)

    @classmethod
    def variables(cls) -> "dict[str, Field[Any]]":
        """Return each field by the name of its environment variable."""
        return {setting.metadata["variable"] or setting.name.upper(): setting for setting in fields(cls)}
