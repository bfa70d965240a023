"""`python -m robust.sweep`."""

import importlib.util
import sys
import warnings

with warnings.catch_warnings():
    # sweeps 0.3.0 still imports a class under the name it had in pydantic 1.
    warnings.simplefilter("ignore")
    # By a module in it: in this repository `sweeps` is also a folder.
    found = importlib.util.find_spec("sweeps.run")
if found is None:
    sys.exit(
        "error: Expected W&B's package `sweeps`, but it is not installed. Install it with: "
        "pip install jsonref jsonschema && pip install --no-deps sweeps (it asks for NumPy 1, and "
        "runs with 2)."
    )

from robust.sweep.main import sweep

sys.exit(sweep())
