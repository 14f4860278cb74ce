"""A certificate authority of our own for the local web servers."""

import ssl
from pathlib import Path

import trustme


class LocalAuthority:
    """Signs certificates for `localhost`; its key is never written down."""

    def __init__(self) -> None:
        self._authority = trustme.CA(organization_name="Local MWAA")

    def write(self, path: Path) -> None:
        """Write the certificate that clients must trust, in PEM."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._authority.cert_pem.write_to_path(path)

    def server_context(self) -> ssl.SSLContext:
        """Return the TLS settings of a server that is reached as `localhost` or `127.0.0.1`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        return context
