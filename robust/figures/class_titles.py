"""What figures call the classes: by their names, or by their numbers where nobody named them."""

from collections.abc import Sequence

ClassNames = Sequence[str]
"""A name for each class, or none."""
_LONGEST = 18


def class_title(label: int, names: ClassNames) -> str:
    """Return the title of an image of a class, such as ``cat`` or ``class 3``."""
    return _short(names[label]) if label < len(names) else f"class {label}"


def says(label: int, names: ClassNames) -> str:
    """Return the title of an image that is predicted to be of a class."""
    return f"says {class_word(label, names)}"


def class_word(label: int, names: ClassNames) -> str:
    """Return the name of a class, or its number."""
    return _short(names[label]) if label < len(names) else str(label)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
