"""Fails on everything."""


class Refused(Exception):
    """On purpose."""


def handler(event, context):
    raise Refused(event["why"])
