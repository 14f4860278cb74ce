"""What one function of the stack sees of an environment from the dispatchers' network, for `environments check`.

May import `dispatch`, `airflow` and the root.
"""
