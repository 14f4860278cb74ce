"""Task tokens, encrypted with KMS while their states wait, and the calls to Step Functions that use them.

A token is a bearer secret: its holder can end the task. In plain text it exists only in a function's memory and in the two
calls that use it. Botocore's debug log of those calls is off, because Powertools' logger leaves other loggers alone.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, assert_never

from botocore.exceptions import BotoCoreError, ClientError

from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.step_functions.task_call import Token
from mwaa_gateway.step_functions.watches import Failed, Succeeded, TaskResult, TokenClosed

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_stepfunctions import SFNClient

LONGEST_CAUSE: Final = 32_768  # characters, the limit of Step Functions' API
KMS_REMEDY: Final = (
    "the KMS key of the state machine must let the run watcher's role use it, see docs/step-functions.md"
)
_CLOSED: Final = ("TaskDoesNotExist", "TaskTimedOut", "InvalidToken")


class TokenCipher:
    """Encrypts tokens with one KMS key and decrypts them with the key they name; both need the same `context`."""

    def __init__(self, client: "KMSClient", key: str) -> None:
        self._client = client
        self._key = key

    def encrypt(self, token: Token, context: Mapping[str, str]) -> bytes:
        """Encrypt; raises Unavailable."""
        with unavailable_unless_answered("KMS did not encrypt the task token"):
            answer = self._client.encrypt(
                KeyId=self._key, Plaintext=token.text.encode(), EncryptionContext=dict(context)
            )
        return answer["CiphertextBlob"]

    def decrypt(self, sealed: bytes, context: Mapping[str, str]) -> Token:
        """Decrypt; raises Unavailable.

        The ciphertext names its key, which differs if an earlier version or KmsKeyArn encrypted it. The caller's role
        decides which keys it may use.
        """
        with unavailable_unless_answered("KMS did not decrypt the task token"):
            answer = self._client.decrypt(CiphertextBlob=sealed, EncryptionContext=dict(context))
        return Token(answer["Plaintext"].decode())


class TaskCallbacks:
    """Implements `step_functions.watches.Callbacks`. No error contains Step Functions' text, which may quote the token."""

    def __init__(self, client: "SFNClient") -> None:
        self._client = client

    def send(self, token: Token, ending: TaskResult) -> None:
        """Send the result to the state."""
        with _token_errors("Step Functions did not accept the task's result"):
            match ending:
                case Succeeded(output):
                    self._client.send_task_success(taskToken=token.text, output=json.dumps(output))
                case Failed(error, cause):
                    text = json.dumps(cause)[:LONGEST_CAUSE]
                    self._client.send_task_failure(taskToken=token.text, error=error, cause=text)
                case _:
                    assert_never(ending)

    def heartbeat(self, token: Token) -> None:
        """Send a heartbeat."""
        with _token_errors("Step Functions did not accept the heartbeat"):
            self._client.send_task_heartbeat(taskToken=token.text)


@contextmanager
def _token_errors(what: str) -> Iterator[None]:
    """Raise TokenClosed if no state waits with this token any more, and Unavailable for every other error."""
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
