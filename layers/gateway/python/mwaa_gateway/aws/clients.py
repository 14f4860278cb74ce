"""How every client of AWS is configured: short timeouts, few retries.

Apart from `calls`: what reads items alone, as the operator's command does with files, does not pay for botocore's config.
"""

from typing import Final

from botocore.config import Config

__all__ = ["CLIENT_CONFIG"]

# Three tries within about 20 s: a call that hangs must leave the function time to give its message back.
CLIENT_CONFIG: Final = Config(
    connect_timeout=3, read_timeout=6, retries={"mode": "standard", "total_max_attempts": 3}
)
