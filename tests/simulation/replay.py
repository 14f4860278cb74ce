"""Play one seed again, or many: `replay.py 17`, `replay.py 0 --seeds 1000 --processes 2`."""

import argparse
import sys
import time
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from simulation.simulate import Simulated, simulate


def _simulate(arguments: tuple[int, int]) -> Simulated:
    seed, events = arguments
    return simulate(seed, events)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--events", type=int, default=1000, help="events of each seed")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    seeds = [(seed, options.events) for seed in range(options.seed, options.seed + options.seeds)]
    failed, runs, faults = [], 0, Counter[str]()
    with Pool(options.processes) as pool:
        results = pool.imap_unordered(_simulate, seeds) if options.processes > 1 else map(_simulate, seeds)
        for played, simulated in enumerate(results, 1):
            faults.update(simulated.faults)
            runs += simulated.verdict.created
            if options.seeds == 1:
                sys.stdout.write(f"{simulated}\n")
            if not simulated.verdict.ok:
                failed.append(simulated.seed)
                sys.stdout.write(f"{simulated.explain()}\n")
            if played % 100 == 0:
                sys.stderr.write(
                    f"{played} seeds in {time.monotonic() - began:.0f} s, {len(failed)} broke a promise\n"
                )
    seconds = time.monotonic() - began
    reported = (
        f"{options.seeds} seeds of {options.events} events: {runs} runs, {faults.total()} faults in {seconds:.1f} s; "
        f"{len(failed)} seeds broke a promise {sorted(failed) or ''}"
    )
    lines = [
        reported,
        *(f"  {fault}: {count}" for fault, count in faults.most_common()),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
