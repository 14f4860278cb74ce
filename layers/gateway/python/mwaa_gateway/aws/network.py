"""Test connections from a function's subnets: does a host answer, and if not, which step fails."""

import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import certifi

from mwaa_gateway.doctor.doctor import StepResult

CONNECT_SECONDS: Final = 4.0  # within one region a connection takes milliseconds
LONGEST_SECONDS: Final = 10.0  # a resolver that does not answer ignores our timeout


class SubnetNetwork:
    """Implements `mwaa_gateway.doctor.doctor.Network`. Opens a connection with TLS and closes it; sends no request."""

    def __init__(
        self, *, connect_seconds: float = CONNECT_SECONDS, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        self._connect_seconds = connect_seconds
        self._longest_seconds = longest_seconds

    def reach(self, url: str, ca_bundle: str = "") -> StepResult:
        """Connect to the host of one URL."""
        return self._side_by_side([url], ca_bundle)[0]

    def reach_all(self, urls: Sequence[str]) -> list[StepResult]:
        """Connect to all hosts in parallel."""
        return self._side_by_side(urls, "")

    def _side_by_side(self, urls: Sequence[str], ca_bundle: str) -> list[StepResult]:
        begun = time.monotonic()
        pool = ThreadPoolExecutor(max_workers=max(1, len(urls)))
        connections = [pool.submit(self._connect, url, ca_bundle) for url in urls]
        seen = []
        for connection in connections:
            try:
                seen.append(
                    connection.result(timeout=max(0.0, begun + self._longest_seconds - time.monotonic()))
                )
            except NotYet:
                seen.append(
                    StepResult("timeout", "no answer from the resolver", round(self._longest_seconds * 1000))
                )
        pool.shutdown(wait=False, cancel_futures=True)
        return seen

    def _connect(self, url: str, ca_bundle: str) -> StepResult:
        begun = time.monotonic()
        seen = self._outcome(url, ca_bundle)
        return replace(seen, milliseconds=round((time.monotonic() - begun) * 1000))

    def _outcome(self, url: str, ca_bundle: str) -> StepResult:
        try:
            parts = urlsplit(url)
            secure = parts.scheme == "https"
            host, port = parts.hostname or "", parts.port or (443 if secure else 80)
            with socket.create_connection((host, port), timeout=self._connect_seconds) as connection:
                if secure:
                    # The CAs that `requests` trusts, like every other connection here.
                    context = ssl.create_default_context(cafile=ca_bundle or certifi.where())
                    with context.wrap_socket(connection, server_hostname=host):
                        pass
        except socket.gaierror:
            return StepResult("dns")
        except TimeoutError:
            return StepResult("timeout")
        except ConnectionRefusedError:
            return StepResult("refused")
        except ssl.SSLCertVerificationError as error:
            return StepResult("certificate", error.verify_message)
        except ssl.SSLError as error:
            return StepResult("tls", error.reason or "")
        except (OSError, ValueError) as error:
            return StepResult("failed", type(error).__name__)
        return StepResult("reached")
