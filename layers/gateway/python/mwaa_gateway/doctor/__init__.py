"""Checks an environment from the dispatchers' network, for `mwaa-gateway environments check`.

May import `dispatch`, `airflow` and the root.
"""
