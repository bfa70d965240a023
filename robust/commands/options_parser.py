"""A parser of flags whose errors are one line, as those of every command."""

import argparse
import sys
from typing import NoReturn

_LONGEST = 280


class OneLineParser(argparse.ArgumentParser):
    """Prints what is wrong with the flags as one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Print the message on standard error, and exit with code 2."""
        line = " ".join(message.split())
        line = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 4]} ..."
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2)
