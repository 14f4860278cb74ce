"""Step Functions tasks: a state starts a DAG run, and the run watcher answers the state when the run ends.

May import `routing`, `dispatch` and everything below them. Import its modules by name: starting a run and watching runs
are two functions, and each loads only what it uses.
"""
