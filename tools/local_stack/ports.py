"""Free ports of the loopback interface: nothing of the local stack listens anywhere else."""

import socket
from contextlib import closing

LOOPBACK = "127.0.0.1"


def free_port(*preferred: int) -> int:
    """The first of `preferred` that nobody listens on, else any port the kernel has to spare."""
    for port in (*preferred, 0):
        with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            # Else a port whose last connections linger in TIME_WAIT counts as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no free port on {LOOPBACK}")
