"""The version of this package, and the commit of its code."""

import functools
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CLONE = Path(__file__).parents[2]


def package_version() -> str:
    """Return the version of the package; ``0+unknown`` where it is not installed."""
    try:
        return version("robust-defenses")
    except PackageNotFoundError:
        return "0+unknown"


@functools.cache
def code_commit() -> str:
    """Return the commit of the code that runs, with ``+`` if the code was changed since.

    Outside of a clone it is the version of the package.
    """
    if not (_CLONE / ".git").exists():
        return package_version()
    try:
        commit = _git("rev-parse", "--short=7", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "robust", "configs")
    except (OSError, subprocess.CalledProcessError):
        return package_version()
    return f"{commit}+" if changed else commit


def _git(*words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(_CLONE), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()
