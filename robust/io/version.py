"""The version of this package."""

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """Return the version of the package; ``0+unknown`` where it is not installed."""
    try:
        return version("robust-defenses")
    except PackageNotFoundError:
        return "0+unknown"
