"""Attack trained runs and compare them: `python evaluate.py RUN... --suite FILE`."""

from robust.commands.start import start

if __name__ == "__main__":
    start("evaluate")
