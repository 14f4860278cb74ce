"""Fails on everything."""


class RefusedError(Exception):
    """On purpose."""


def handler(event, _context):
    raise RefusedError(event["why"])
