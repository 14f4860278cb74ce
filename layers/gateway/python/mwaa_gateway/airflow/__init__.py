"""The requests that the gateway sends to Airflow, and the meaning of the answers: ids, commands, calls, run states.

May import the root only. `port` names the requests. `cli` and `rest` are codecs without I/O, one for each transport, and
`dialect` decides which of two forms a version of Airflow accepts; `aws.mwaa` sends the requests. A function loads one codec,
so import the modules by name.
"""
