"""`python -m robust.sweep` does the same as `robust sweep`."""

from robust.commands.start import start

if __name__ == "__main__":
    start("sweep")
