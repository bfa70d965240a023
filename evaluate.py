"""Attack trained runs and compare them: `python evaluate.py RUN... --suite FILE`."""

import atexit
import gc
import os
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # nothing has begun while it imports

gc.disable()  # a quarter of the time to start: collections that find nothing in a million objects

if "--report" in sys.argv:
    from robust.report import report as evaluate  # without the seconds that torch takes to import
else:
    from robust.compare import evaluate

gc.freeze()
atexit.register(gc.unfreeze)  # Triton takes what is left at exit for leaks, and prints them
gc.enable()

if __name__ == "__main__":
    sys.exit(evaluate())
