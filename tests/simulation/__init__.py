"""The whole gateway in one process: time, order and faults belong to one seed."""
