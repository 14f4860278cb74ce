"""What Lambda refuses when the stack is created, for the largest stacks we expect."""

import json
import re

from template.expansion import EVERYTHING

SETTINGS_BYTES = 4 * 1024  # of all environment variables of a function, as JSON
PHYSICAL_NAME = "x" * 100  # longer than any name or URL that CloudFormation makes of a resource here


def test_settings_of_a_large_stack_fit_into_four_kilobytes(expand):
    """17 environments with the longest names, and 20 queues of the user's: the lists are what grows."""
    environments = [letter * 32 for letter in "abcdefghijklmnopq"]
    queues = ",".join(f"arn:aws:sqs:eu-central-1:123456789012:{'q' * 40}{number}" for number in range(20))
    template = expand(*environments, **(EVERYTHING | {"EventQueueArns": queues}))
    sizes = {}
    for name, function in template.of_type("AWS::Lambda::Function").items():
        variables = json.dumps(function["Environment"]["Variables"], separators=(",", ":"))
        sizes[name] = len(re.sub("<[^>]*>", PHYSICAL_NAME, variables).encode())
    assert {name: size for name, size in sizes.items() if size > SETTINGS_BYTES} == {}
    assert max(sizes, key=sizes.__getitem__) == "QueuedEventsFunction"
