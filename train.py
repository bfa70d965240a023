"""Train and test a defense: `python train.py fit --config configs/squeezed.yaml`."""

from robust.commands.start import start

if __name__ == "__main__":
    start("train")
