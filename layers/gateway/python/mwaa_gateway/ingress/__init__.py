"""Flow 1, from a source's payload to the trigger queues: `ingest`, and the records of SHADOW rules.

May import `routing` and everything below it. Import its modules by name, so that a function loads only what it uses.
"""
