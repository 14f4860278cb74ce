"""Task tokens: sealed with KMS while they wait, and what is told to Step Functions with them.

A token is a bearer secret: whoever has it ends the task. In the clear it is in a function's memory only, and in the two
calls that use it; botocore's own debug log of those is off, as Powertools' logger leaves other loggers alone.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, assert_never

from botocore.exceptions import BotoCoreError, ClientError

from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.step_functions.call import Token
from mwaa_gateway.step_functions.watches import Failed, Succeeded, TaskResult, TokenClosed

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_stepfunctions import SFNClient

__all__ = ["TaskCallbacks", "TokenCipher"]

LONGEST_CAUSE: Final = 32_768  # characters, by Step Functions' API
KMS_REMEDY: Final = (
    "the KMS key of the state machine must let the run watcher's role use it, see docs/step-functions.md"
)
_CLOSED: Final = ("TaskDoesNotExist", "TaskTimedOut", "InvalidToken")


class TokenCipher:
    """Seals tokens with one KMS key, and unseals them with the key they were sealed with; both need the same `context`."""

    def __init__(self, client: "KMSClient", key: str) -> None:
        self._client = client
        self._key = key

    def encrypt(self, token: Token, context: Mapping[str, str]) -> bytes:
        """Encrypt; raises Unavailable."""
        with unavailable_unless_answered("the task token could not be sealed"):
            answer = self._client.encrypt(
                KeyId=self._key, Plaintext=token.text.encode(), EncryptionContext=dict(context)
            )
        return answer["CiphertextBlob"]

    def decrypt(self, sealed: bytes, context: Mapping[str, str]) -> Token:
        """Decrypt; raises Unavailable.

        The ciphertext names its key, which is another one where a version or a KmsKeyArn before this one sealed it. The
        caller's role says which keys may be used.
        """
        with unavailable_unless_answered("the task token could not be unsealed"):
            answer = self._client.decrypt(CiphertextBlob=sealed, EncryptionContext=dict(context))
        return Token(answer["Plaintext"].decode())


class TaskCallbacks:
    """Implements `step_functions.watches.Callbacks`. No error carries Step Functions' text: it may quote the token."""

    def __init__(self, client: "SFNClient") -> None:
        self._client = client

    def send(self, token: Token, ending: TaskResult) -> None:
        """Tell how it ended."""
        with _told_apart("Step Functions did not take the run's end"):
            match ending:
                case Succeeded(output):
                    self._client.send_task_success(taskToken=token.text, output=json.dumps(output))
                case Failed(error, cause):
                    text = json.dumps(cause)[:LONGEST_CAUSE]
                    self._client.send_task_failure(taskToken=token.text, error=error, cause=text)
                case _:
                    assert_never(ending)

    def heartbeat(self, token: Token) -> None:
        """Tell that it goes on."""
        with _told_apart("Step Functions did not take the heartbeat"):
            self._client.send_task_heartbeat(taskToken=token.text)


@contextmanager
def _told_apart(what: str) -> Iterator[None]:
    """Raise TokenClosed where nobody waits with this token any more, and Unavailable for all else."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown error")
        if code in _CLOSED:
            raise TokenClosed(code) from None
        remedy = f"; {KMS_REMEDY}" if code.startswith("Kms") else ""
        raise Unavailable(f"{what}: {code}{remedy}") from None
    except BotoCoreError as error:
        raise Unavailable(f"{what}: {type(error).__name__}") from None
