"""Flow 1, from a source's payload to the trigger queues: `ingest`, and the records of rules in SHADOW.

May import `routing` and everything below it. Import its modules by name: a function then loads only what it uses.
"""
