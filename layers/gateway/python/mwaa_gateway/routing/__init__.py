"""An event and the live rules become trigger requests: which rules match, and what each target resolves to.

May import `rules` and everything below it. The store of rules is a port here; `aws.dynamodb` implements it.
"""

from mwaa_gateway.routing.live_rules import LiveRules
from mwaa_gateway.routing.resolve import resolve

__all__ = ["LiveRules", "resolve"]
