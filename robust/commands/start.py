"""How a program starts: interruptible at once, without collections while it imports."""

import atexit
import gc
import importlib
import os
import signal
import sys
from typing import NoReturn


def start(command: str) -> NoReturn:
    """Import a command, run it, and exit with its code.

    Args:
        command: A module of `robust.commands`, and the function of that name in it.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # nothing has begun while it imports
    if command == "evaluate" and "--report" in sys.argv:
        command = "report"  # without the seconds that torch takes to import
    gc.disable()  # a quarter of the time to start: collections find nothing in a million objects
    run = getattr(importlib.import_module(f"robust.commands.{command}"), command)
    gc.freeze()
    atexit.register(gc.unfreeze)  # Triton takes what is left at exit for leaks, and prints them
    gc.enable()
    sys.exit(run())
