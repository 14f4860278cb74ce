"""Turns botocore's errors into sentences for the person at the command line: what happened, and what to do next."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own name
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from gateway_cli.output import Refused
from mwaa_gateway.errors import GatewayError

Found = TypeVar("Found")


@contextmanager
def errors_as_refusals() -> Iterator[None]:
    """Turn the errors that the gateway and AWS raise on purpose into `Refused`; any other error is a bug and stays."""
    try:
        yield
    except GatewayError as error:
        raise Refused(str(error)) from error
    except (ClientError, BotoCoreError) as error:
        raise Refused(describe_error(error)) from error
    except ValueError as error:
        if str(error).startswith("Invalid endpoint"):
            raise Refused(
                f"{error}: write --endpoint-url (or AWS_ENDPOINT_URL) as http://host:port"
            ) from error
        raise


def found_or_why(ask: Callable[[], Found]) -> tuple[Found | None, str]:
    """Ask one question of several; return what was found and "", or None and why it could not be read."""
    try:
        with errors_as_refusals():
            return ask(), ""
    except Refused as error:
        return None, error.message
    except (KeyError, TypeError, ValueError) as error:
        return None, f"the answer cannot be read: {error!r}"


def describe_error(error: ClientError | BotoCoreError) -> str:
    """Return why a call of AWS failed, and the remedy."""
    return _answer(error) if isinstance(error, ClientError) else _failure(error)


def _failure(error: BotoCoreError) -> str:
    """Return why AWS did not answer, and the remedy."""
    match error:
        case NoRegionError():
            return "no AWS region is set: give --region, or set AWS_REGION"
        case NoCredentialsError() | PartialCredentialsError() | CredentialRetrievalError():
            remedy = "log in (`aws configure sso`), give --profile, or --local for the local stack"
        case ProfileNotFound():
            remedy = "`aws configure list-profiles` lists the profiles"
        case SSOError() | TokenRetrievalError():
            remedy = "log in again with `aws sso login`"
        case InvalidRegionError():
            remedy = "give another --region"
        case ConnectionError() | HTTPClientError():
            remedy = "check the address, and whether the local stack still runs if you mean that"
        case _:
            remedy = "nothing was sent to AWS"
    return f"{str(error).rstrip('.')}: {remedy}"


def _answer(error: ClientError) -> str:
    """Return what AWS refused, and the remedy."""
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    call = error.operation_name
    match code:
        case "ResourceNotFoundException" | "NoSuchBucket" if call in _ASKED_BY_NAME:
            return f"{call}: {message or code}: check the name, --region and account"
        case "ResourceNotFoundException":
            return f"{call}: there is no such table: check --table or --stack-name, --region and account"
        case "ValidationError" if call == "DescribeStacks" and "does not exist" in message:
            return f"{message}: name the gateway's stack with --stack-name, or check --region and the account"
        case "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation":
            return (
                f"{call} was denied: {message}: use a profile with this permission, or ask for the permission"
            )
        case "ExpiredToken" | "ExpiredTokenException" | "RequestExpired":
            return f"{call}: the AWS credentials have expired: log in again"
        case _ if code in _REFUSED_CREDENTIALS:
            return (
                f"{call}: AWS does not accept these credentials ({code}): check --profile and --endpoint-url"
            )
        case _:
            return f"{call} failed with {code}: {message}"


_ASKED_BY_NAME = frozenset(
    {"GetBucketNotificationConfiguration", "GetBucketVersioning", "ListRules", "ListTargetsByRule"}
)
_REFUSED_CREDENTIALS = frozenset(
    {
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
