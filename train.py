"""Train and test a defense: `python train.py fit --config configs/squeezed.yaml`."""

import atexit
import gc
import os
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # nothing has begun while it imports

gc.disable()  # a quarter of the time to start: collections that find nothing in a million objects

from robust.cli import train  # noqa: E402

gc.freeze()
atexit.register(gc.unfreeze)  # Triton takes what is left at exit for leaks, and prints them
gc.enable()

if __name__ == "__main__":
    sys.exit(train())
