"""Flow 2, from a trigger request to exactly one DAG run: the dispatcher, and the ports and policies it works with.

May import `airflow` and the root. Import its modules by name: the run watcher shares the ledger, not the dispatcher.
"""
