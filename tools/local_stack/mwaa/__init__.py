"""Amazon MWAA on one machine: real Airflow behind the API and the web server that MWAA puts in front of it.

    from local_stack.mwaa import LocalMwaa

What MWAA documents is served as documented: `CreateCliToken`, `CreateWebLoginToken`, `InvokeRestApi` and `GetEnvironment`
with the caller's role checked, and over TLS `POST /aws_mwaa/cli` with tokens that live 60 seconds and four slots, web
logins, and Airflow's REST API for their sessions. Faults can be switched on. What no public source confirms (the status of
a failing command) is a setting; see `web_server.py` and `web_login.py`.
"""

from local_stack.mwaa.control import ControlClient
from local_stack.mwaa.faults import Faults
from local_stack.mwaa.local_mwaa import LocalMwaa

__all__ = ["ControlClient", "Faults", "LocalMwaa"]
