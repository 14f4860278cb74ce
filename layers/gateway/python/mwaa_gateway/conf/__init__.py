"""From an event to the conf of its run: paths, captures, text templates, the input transformer, claim checks.

May import `events` and the root. Pure: the flows do the I/O.
"""

from mwaa_gateway.conf.build import MAXIMUM_CONF_BYTES, build_conf, conf_size, origin_of
from mwaa_gateway.conf.input_transformer import ORIGIN_KEY

__all__ = ["MAXIMUM_CONF_BYTES", "ORIGIN_KEY", "build_conf", "conf_size", "origin_of"]
