"""`python -m robust`, the same as the command `robust`."""

import sys

from robust.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
