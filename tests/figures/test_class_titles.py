"""Classes are called by their names where there are any, else by their numbers."""

import pytest

from robust.figures.class_titles import class_title, class_word, says


@pytest.mark.parametrize(
    ("names", "title", "word", "said"),
    [
        ((), "class 1", "1", "says 1"),
        (("ant", "bee"), "bee", "bee", "says bee"),
        (("ant",), "class 1", "1", "says 1"),
        (("ant", "b" * 40), "b" * 17 + "…", "b" * 17 + "…", f"says {'b' * 17}…"),
    ],
)
def test_names_or_numbers(names, title, word, said):
    assert (class_title(1, names), class_word(1, names), says(1, names)) == (title, word, said)
