"""What the console has read of a gateway, each reading with its age; what cannot be read has a reason and no value."""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from gateway_cli.aws_errors import errors_as_refusals
from gateway_cli.connection import Connection
from gateway_cli.output import Refused

Found = TypeVar("Found")

FOREVER: Final = math.inf
FRESH_SECONDS: Final = 10.0  # two parts of a page share a reading, and so do impatient clicks
_LOGGED_OUT: Final = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
# SQS shows a message only by handing it out, so looking into a dead-letter queue receives and gives back.
_LOOKING: Final = (
    "BatchGet", "ChangeMessageVisibility", "Describe", "Get", "Head", "InvokeRestApi", "List", "Query", "Receive", "Scan",
    "StartQuery", "StopQuery",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading(Generic[Found]):
    """What one source said at the time `at`; `value` is None if it is not known, and `why` says why."""

    at: float
    value: Found | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose gateway this is, and with whose permissions the console reads it."""

    account: str
    region: str
    stack: str
    caller: str


@dataclass(frozen=True, slots=True)
class Stack:
    """The environments, by name, and the parameters of the gateway's stack."""

    environments: Sequence[str] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


class Gateway:
    """A gateway, read with the operator's credentials. Without `operate` a call that changes anything is refused here."""

    def __init__(
        self, connection: Connection, *, operate: bool, now: Callable[[], float] = time.time
    ) -> None:
        self.operate = operate
        self.now = now
        self.options = connection.as_options
        self.logged_out = ""  # why AWS does not accept the credentials, "" while it does
        self._connection = connection
        self._is_guarded = self._is_ready = False
        self._lock = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._readings: dict[str, Reading[Any]] = {}

    def stack(self) -> Reading[Stack]:
        """Return what the gateway was deployed with; read once, while it can be."""
        return self.read("stack", _stack, fresh=FOREVER)

    def identity(self, *, fresh: float = 300) -> Reading[Identity]:
        """Return whose gateway this is; it also shows whether AWS accepts the credentials."""
        return self.read("identity", _identity, fresh=fresh)

    def read(
        self, name: str, ask: Callable[[Connection], Found], *, fresh: float = FRESH_SECONDS
    ) -> Reading[Found]:
        """Return the reading of this name if it is younger than `fresh` seconds, else ask."""
        with self._lock:
            lock = self._locks[name]
        with lock:
            known = self._readings.get(name)
            if known is not None and not known.why and self.now() - known.at < fresh:
                return known
            self._readings[name] = reading = self._ask(ask)
            return reading

    def forget(self) -> None:
        """Read everything again that an action may have changed."""
        kept = ("identity", "stack")
        self._readings = {name: self._readings[name] for name in kept if name in self._readings}

    def connected(self) -> Connection:
        """Return the connection, with the clients that threads share; building one is not safe to do in two at once."""
        with self._lock:
            connection = self._connection
            if not self._is_guarded:
                connection.on_call(self._refuse_change)
                self._is_guarded = True
            if not self._is_ready:
                _ = (
                    connection.stack_outputs,
                    connection.dynamodb,
                    connection.sqs,
                    connection.s3,
                    connection.mwaa,
                )
                self._is_ready = True
            return connection

    def _ask(self, ask: Callable[[Connection], Found]) -> Reading[Found]:
        at = self.now()
        try:
            with errors_as_refusals():
                value = ask(self.connected())
        except Refused as error:
            if _is_logged_out(error.__cause__):
                self._log_in_again(error.message)
            return Reading(at, None, error.message)
        except (KeyError, TypeError, ValueError) as error:
            return Reading(at, None, f"the answer cannot be read: {error!r}")
        self.logged_out = ""
        return Reading(at, value)

    def _log_in_again(self, why: str) -> None:
        """Take up new credentials at the next reading: a session keeps those that it has found."""
        with self._lock:
            self.logged_out = why
            self._connection = replace(self._connection)
            self._is_guarded = self._is_ready = False

    def _refuse_change(self, operation: str) -> None:
        if not self.operate and not operation.startswith(_LOOKING):
            raise Refused(
                f"{operation} changes something, and the console only looks: start it with --operate"
            )


def _identity(connection: Connection) -> Identity:
    caller = str(connection.client("sts").get_caller_identity()["Arn"])
    return Identity(
        account=caller.split(":")[4],
        region=connection.sqs.meta.region_name,
        stack=connection.stack,
        caller=caller,
    )


def _stack(connection: Connection) -> Stack:
    return Stack(sorted(connection.environments or ()), connection.stack_parameters)


def _is_logged_out(error: BaseException | None) -> bool:
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"] in _EXPIRED
    return isinstance(error, _LOGGED_OUT)
