"""`python -m robust.sweep`."""

import sys
import warnings

try:
    with warnings.catch_warnings():
        # sweeps 0.3.0 still imports a class under the name it had in pydantic 1.
        warnings.simplefilter("ignore")
        # A module in it: in this repository `sweeps` is also a folder.
        import sweeps.run  # noqa: F401
except ImportError:
    sys.exit(
        "error: Expected W&B's package `sweeps`, but it is not installed. Install it with: "
        "pip install jsonref jsonschema && pip install --no-deps sweeps (it asks for NumPy 1, and "
        "runs with 2)."
    )

from robust.commands.sweep import sweep

sys.exit(sweep())
