"""How a program starts: interruptible at once, without collections while it imports."""

import atexit
import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from robust.commands.options import early
from robust.errors import ConfigError
from robust.io.deferred import deferred
from robust.io.streams import code_of, make_usable, say
from robust.loading.messages import shortened


def start(command: str) -> NoReturn:
    """Run a command with the arguments of this process, and exit with its code."""
    begin()
    sys.exit(run(command))


def begin() -> None:
    """Let Ctrl-C end this process at once: while it imports, and when its command has ended.

    In the end, while Python takes itself apart, nothing is left to do, and Ctrl-C is ignored.
    """
    signal.signal(signal.SIGINT, _end)
    # Called last of all; otherwise Python goes back to the usual way to die of a signal.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    if _begun:
        say("Stopped by SIGINT (exit code 130). Run the same command again to go on.")
    os._exit(130)


_begun: list[str] = []
"""The command that this process runs, once it is imported."""


def run(command: str, args: Sequence[str] | None = None, **settings: bool) -> int:
    """Check a command's arguments, import it and run it.

    Args:
        command: A module of `robust.commands`, and the function of that name in it.
        args: Its arguments; those of the process if None.
        settings: What else the function takes.

    Returns:
        The exit code; 2 after an error that the user can fix.
    """
    make_usable()
    arguments = sys.argv[1:] if args is None else list(args)
    if command == "evaluate" and "--report" in arguments:
        command = "report"  # without the seconds that torch takes to import
    try:
        early.check(command, arguments)
    except ConfigError as error:
        return refuse(error)
    except OSError as error:
        code = code_of(error)
        if code is None:
            raise
        return code
    function = getattr(_imported(command), command)
    _begun.append(command)
    return int(function(None if args is None else arguments, **settings))


def refuse(error: ConfigError) -> int:
    """Print an error that the user can fix, and return the exit code for it."""
    say(f"error: {shortened(str(error))}")
    return 2


def _imported(command: str) -> object:
    name = f"robust.commands.{command}"
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()  # a quarter of the time to start: collections find nothing in a million objects
    with deferred():
        module = importlib.import_module(name)
    gc.freeze()
    atexit.register(gc.unfreeze)  # Triton takes what is left at exit for leaks, and prints them
    gc.enable()
    return module
