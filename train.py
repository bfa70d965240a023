"""Train and test a defense: `python train.py fit --config configs/squeezed.yaml`."""

import os
import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # Ctrl-C while Python imports the rest
    from robust.commands.start import start

    start("train")
