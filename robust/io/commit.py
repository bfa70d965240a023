"""The commit of this code."""

import functools
import subprocess
from pathlib import Path

from robust.io.version import package_version

_CLONE = Path(__file__).parents[2]


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
