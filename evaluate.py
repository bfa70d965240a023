"""Attack trained runs and compare them: `python evaluate.py RUN... --suite FILE`."""

import sys

from robust.compare import evaluate

if __name__ == "__main__":
    sys.exit(evaluate())
