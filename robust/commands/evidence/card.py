"""`robust card`: the files of a card are written, and nothing else is overwritten."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from robust.commands.options.card import card_parser
from robust.errors import ConfigError
from robust.io import files
from robust.io.names import printable
from robust.io.text_files import expanded
from robust.report.card.content import Stated
from robust.report.card.exports import EXPORTS
from robust.report.card.rendered import MARKS, as_html, markdown, tex
from robust.report.card.sealed import card_of, read_card, text_of
from robust.report.card.statements import any_doubts

_DOUBTS = (
    "Some records are damaged; the card says so among its limits, and `robust verify RUN` says all."
)
_MARKED = 40
"""Bytes at the beginning of a file that say whether it is one of a card."""


def card(args: Sequence[str]) -> int:
    """Write the card that a command line asks for, and return the exit code.

    Args:
        args: What follows `robust card`.

    Raises:
        ConfigError: If there are no runs or no records, or a file cannot be written or is no
            card's.
        SystemExit: After the help, and after flags that are wrong.
    """
    options = card_parser().parse_args(args)
    folder = expanded(options.output)
    stated = Stated(options.trained_by, options.licence)
    content = card_of(options.runs, stated, folder)
    texts = {
        "card.json": text_of(content),
        "card.md": markdown(content),
        "card.html": as_html(content),
        "card.tex": tex(content),
    }
    exported = {
        name: text for each in options.format for name, text in EXPORTS[each](content).items()
    }
    _write(folder, texts, exported)
    names = ", ".join([*texts, *exported])
    print(f"Written to {printable(folder)}: {printable(names)}", file=sys.stderr)
    if any_doubts(content["runs"]):
        print(_DOUBTS, file=sys.stderr)
    return 0


def _write(folder: Path, texts: Mapping[str, str], exported: Mapping[str, str]) -> None:
    """Write all files, or none if one would replace what is no card's."""
    try:
        files.own_folder(folder)
        had_card = (folder / "card.json").exists()
        for name in texts:
            _check_ours(folder / name)
        for name in exported:
            if os.path.lexists(folder / name) and not had_card:
                raise _foreign(folder / name)
            files.check_own_file(folder / name)
        for name, text in {**exported, **texts}.items():
            files.write(folder / name, text)
    except OSError as error:
        raise ConfigError(
            f"Expected to write {folder}, but cannot ({error.strerror}). Choose another folder "
            "with -o."
        ) from None


def _check_ours(path: Path) -> None:
    """Raise unless there is nothing at a path, or a file of a card."""
    files.check_own_file(path)
    if not path.exists():
        return
    if path.suffix == ".json":
        try:
            read_card(path)
        except ConfigError:
            raise _foreign(path) from None
        return
    with files.open_to_read(path) as file:
        if not file.read(_MARKED).startswith(MARKS[path.suffix[1:]].encode()):
            raise _foreign(path)


def _foreign(path: Path) -> ConfigError:
    return ConfigError(
        f"Expected {path} to be of a card, but it is another file, which stays as it is. Choose "
        "another folder with -o."
    )
