"""The command line of a benchmark of rule sets: a table of Markdown, each line measured in a process of its own."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.rule_sets import KINDS

# Of the two shapes that the figures are about; every other kind has 1,000.
_SIZES = (10, 1_000, 10_000, 100_000)


def print_table(
    module: str,
    description: str,
    columns: Mapping[str, str],
    measured: Callable[[str, int], Mapping[str, Any]],
    *,
    kinds: Iterable[str] = KINDS,
    sizes: Sequence[int] = (),
) -> None:
    """Print a line for each kind and number of rules that the command line names, or for all of them.

    `measured` is what `module` calls for one of them; `columns` are the titles of what it returns.
    `kinds` and `sizes` are those of a command line that names none.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", action="append", choices=[*KINDS], help="a shape of rules; more than once")
    parser.add_argument("--rules", action="append", type=int, help="how many rules; more than once")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, of one kind and size, in this process"
    )
    options = parser.parse_args()
    if options.json:
        print(json.dumps(measured(options.kind[0], options.rules[0])))
        return
    print(f"Python {sys.version.split()[0]}, one thread\n")
    print("| " + " | ".join(columns.values()) + " |\n|" + "---|" * len(columns))
    for kind in options.kind or kinds:
        for rules in options.rules or sizes or (_SIZES if kind in {"standard", "one bucket"} else (1_000,)):
            command = [sys.executable, "-m", module, "--json", "--kind", kind, "--rules", str(rules)]
            measuring = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
            if measuring.returncode:
                sys.exit(measuring.returncode)
            row = json.loads(measuring.stdout)
            print("| " + " | ".join(str(row[column]) for column in columns) + " |", flush=True)
