"""`python -m robust.sweep` does the same as `robust sweep`."""

import os
import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # Ctrl-C while Python imports the rest
    from robust.commands.start import start

    start("sweep")
