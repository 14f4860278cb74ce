"""Sessions of `requests` for the web server: without environment variables and cookies, with one TLS context."""

from http.cookiejar import DefaultCookiePolicy
from ssl import SSLContext
from typing import Any

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from mwaa_gateway.outcomes import OutcomeUnknown, Reason, Retryable

# In the text of a failed handshake: no request was sent yet.
_NO_HANDSHAKE = ("WRONG_VERSION_NUMBER", "HANDSHAKE_FAILURE", "PROTOCOL_VERSION")


class _OneContext(HTTPAdapter):
    """Makes every connection with one TLS context; requests would read the certificates for each."""

    def __init__(self, tls: SSLContext) -> None:
        self._tls = tls
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Give the context to every pool."""
        super().init_poolmanager(*args, **options, ssl_context=self._tls)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the connection as it is: the context has the certificates, and refuses every other."""


class Https:
    """Makes sessions that trust the certificates of `ca_bundle`, "" for those of certifi."""

    def __init__(self, ca_bundle: str) -> None:
        # Reading 140 certificates takes 17 ms of processor time, more than the rest of a request.
        self._tls = create_urllib3_context()
        self._tls.load_verify_locations(ca_bundle or DEFAULT_CA_BUNDLE_PATH)

    def new_session(self) -> requests.Session:
        """Return a session; its caller closes it."""
        session = requests.Session()
        # No proxy, netrc or CA bundle from the environment variables: netrc would replace the Authorization header.
        session.trust_env = False
        session.mount("https://", _OneContext(self._tls))
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return session


def failed_request(error: Exception) -> Retryable | OutcomeUnknown:
    """Classify a request without an answer: certainly not sent, or perhaps carried out. Quotes nothing of the error."""
    text = f"{type(error).__name__} while talking to the web server"
    match error:
        case requests.exceptions.ConnectTimeout():
            never_sent = "no connection within the timeout; check security groups and routes"
        case requests.exceptions.SSLError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            never_sent = "its certificate is not trusted"
        case requests.exceptions.SSLError() if any(sign in str(error) for sign in _NO_HANDSHAKE):
            never_sent = "no common TLS version"
        case requests.exceptions.ConnectionError(args=(MaxRetryError(reason=NameResolutionError()), *_)):
            never_sent = "its host name is not in DNS"
        case requests.exceptions.ConnectionError(
            args=(MaxRetryError(reason=NewConnectionError() as failed), *_)
        ):
            refused = isinstance(failed.__cause__, ConnectionRefusedError)
            never_sent = "the connection was refused" if refused else "no connection could be opened"
        case _:
            return OutcomeUnknown(Reason.UNCLEAR_ANSWER, text)
    return Retryable(Reason.ENVIRONMENT_UNREACHABLE, f"{text}: {never_sent}")
