"""Attack trained runs and compare them: `python evaluate.py RUN... --suite FILE`."""

import os
import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # Ctrl-C while Python imports the rest
    from robust.commands.start import start

    start("evaluate")
