"""The configuration of every AWS client: short timeouts, few retries.

A module of its own, so that code that only reads items, such as the operator's command, does not load botocore's config.
"""

from typing import Final

from botocore.config import Config

# Three tries within about 20 s: if a call hangs, the function still needs time to give its message back.
CLIENT_CONFIG: Final = Config(
    connect_timeout=3, read_timeout=6, retries={"mode": "standard", "total_max_attempts": 3}
)
