"""Train a defense and test it under attack: `python train.py fit --config configs/squeezed.yaml`."""

import sys

from robust.cli import train

if __name__ == "__main__":
    sys.exit(train())
