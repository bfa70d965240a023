"""The JavaScript of the charts is one text: Vega, Vega-Lite and what embeds them."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache

from robust.errors import ConfigError

_COMMAND = "import sys, vl_convert; sys.stdout.write(vl_convert.javascript_bundle())"


@cache
def bundling() -> Callable[[], str]:
    """Begin to put the text together, and return what waits for it.

    It takes seconds of a core that it shares with no thread of Python: so another process does it,
    once, while this one reads records.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )

    @cache
    def wait() -> str:
        text, trouble = process.communicate()
        if process.returncode:
            raise ConfigError(
                "Expected the charts' library of vl-convert-python, but it cannot be had "
                f"({trouble.strip().splitlines()[-1:]}). Install it again."
            )
        return text

    return wait
