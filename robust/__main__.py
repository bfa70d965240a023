"""`python -m robust`, the same as the command `robust`."""

import os
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # Ctrl-C while Python imports the rest
    from robust.commands.main import main

    sys.exit(main())
