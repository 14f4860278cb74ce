"""The requests that the gateway sends to Airflow, and the meaning of the answers: ids, commands, calls, run states.

May import the root only. `port` names the requests. `cli` and `rest` are codecs without I/O, one for each transport, and
`dialect` decides which of two forms a version of Airflow accepts; `aws.mwaa` sends the requests. A function loads one codec,
so import the modules by name.
"""

from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.ids import DAG_ID, DAG_ID_WORDS, InvalidId

__all__ = ["DAG_ID", "DAG_ID_WORDS", "InvalidId", "ListedDag", "NotListed"]
