"""Words that no page and no Python file may use, each with what to write (docs/glossary.md)."""

PLAIN = {
    r"\bmend\w*": "fix",
    r"\banew\b": "again",
    r"\b(but|save) for\b": "except",
    r"\bbe it\b": "whether",
    r"\bwhoever\b|\bwherever it\b": "a sentence with `if`",
    r"\b(made of|left standing|still standing)\b": "a verb; robust",
    r"\bnets?\b": "network",
    r"(?<!line )(?<!skip-)\b(un)?br(eaks?|oken|oke)\b": "misclassified, or an attack succeeds",
    r"\bflip(s|ped)\b(?! bit)": "misclassified",
    r"\bturned\b(?! o(n|ff))": "misclassified",
    r"(?<!-)(?<!robust )(?<!dashboard, )\b(draw(s|n|ing)?)\b(?! (FIGURE|progres))": (
        "plot a figure; sample at random; random stream"
    ),
    r"\bpictures?\b": "figure",
    r"\bwhole\b": "complete, full or all",
    r"\bsubjects?\b": "run",
    r"\bleaves?\s+(them\s+)?[\d.]+ %": "a robust accuracy of",
    r"\bresists?\b": "robust; in a table of resistance, that word",
}
"""Words of prose as regular expressions, whatever their case."""

HEADERS = {
    "as published": "ours, paper's attack",
    "published": "paper, or ours, paper's attack",
    "measured": "ours",
}
"""Names of columns."""

NAMES = {
    "draw",
    "template_draw",
    "DenseNet",
    "ResNet",
    "ZantedeschiResNet",
    "ZantedeschiToyNet",
    "skip_broken",
}
"""Names in Python that stay: the command `robust draw` with its flag, an argument in YAML, and
networks as the field calls them."""
