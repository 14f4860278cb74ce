"""The composition root: the only place that reads settings and builds clients, at the first event.

Each kind of function has its own module, so that a cold start imports only what the function needs.
"""
