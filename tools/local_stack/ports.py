"""Free ports of the loopback interface: nothing of the local stack listens anywhere else."""

import socket
from contextlib import closing

LOOPBACK = "127.0.0.1"


def free_port(*preferred: int) -> int:
    """Return the first free port of `preferred`, otherwise any free port."""
    for port in (*preferred, 0):
        with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            # Otherwise a port with connections in TIME_WAIT counts as used.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no free port on {LOOPBACK}")
