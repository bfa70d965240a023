"""`python -m tests.fuzz --n 5000 --seed 1`, or `--again INPUT` for one that failed."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.runner import Runner, session
from tests.fuzz.targets import Input
from tests.fuzz.zygote import Zygote


def main() -> int:
    """Returns 1 if something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--n", type=int, default=2_000, help="number of inputs")
    parser.add_argument("--seed", type=int, default=0, help="other inputs for another one")
    parser.add_argument("--again", metavar="INPUT", help="one input, as a failure names it")
    parser.add_argument("--keep", type=Path, help="for --again: a copy of the folder it ran in")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Zygote() as zygote:
        runner = Runner(zygote, Path(folder))
        if options.again:
            wrong, command, outcome = runner.run(Input.parse(options.again), options.keep)
            print(f"$ {command}\n{outcome.out}{outcome.err}{outcome.code}", *wrong, sep="\n")
            return int(bool(wrong))
        print(f"ready after {time.monotonic() - began:.0f} s", flush=True)
        found = session(
            runner, options.n, options.seed, float("inf"), lambda t: print(t, flush=True)
        )
    print(f"{found}, seed {options.seed}, {time.monotonic() - began:.0f} s")
    print(f"{len(found.failures)} kinds of failures", *found.failures, sep="\n  ")
    return int(bool(found.failures))


if __name__ == "__main__":
    sys.exit(main())
