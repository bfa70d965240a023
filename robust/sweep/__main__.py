"""`python -m robust.sweep`."""

import sys

from robust.sweep.main import sweep

sys.exit(sweep())
