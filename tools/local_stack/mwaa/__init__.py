"""Amazon MWAA on one machine: real Airflow behind the API and the web server that MWAA puts in front of it.

    from local_stack.mwaa import LocalMwaa

What MWAA documents is served as documented: `CreateCliToken` and `GetEnvironment` with the caller's role
checked, and `POST /aws_mwaa/cli` over TLS with tokens that live 60 seconds and four slots. Faults can be
switched on. What no public source confirms (the status of a failing command) is a setting; see
`web_server.py`.
"""

from local_stack.mwaa.control import ControlClient
from local_stack.mwaa.faults import Faults
from local_stack.mwaa.local_mwaa import LocalMwaa

__all__ = ["ControlClient", "Faults", "LocalMwaa"]
