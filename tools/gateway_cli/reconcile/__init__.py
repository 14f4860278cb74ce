"""`mwaa-gateway reconcile`: hold what lies in a bucket against what the gateway has started, and start what it has not.

objects    the bucket's objects, page by page, and the event that stands for one
wants      what each object is to the rules: a run of each target, or a member of a batch
state      a SQLite file: memory stays constant, and an interrupted command continues
known      the ledger and the batches, read once: which objects have started or are members
starting   starts what was never started, so that a late event of it starts nothing
"""
