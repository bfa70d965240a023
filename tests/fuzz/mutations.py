"""Ways to damage a small valid input, each a function of a random number generator.

A mutation is a name and a seed, so an input is a few short words that say how to make it again.
"""

import copy
import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tests.fuzz.values import ENCODINGS, HUGE, TEXT, odd

Mutator = Callable[[Path, Random], None]
"""Changes a file in place."""


def _bytes(change: Callable[[bytearray, Random], bytes | bytearray]) -> Mutator:
    def mutate(path: Path, random: Random) -> None:
        path.write_bytes(change(bytearray(path.read_bytes()), random))

    return mutate


def flip(content: bytearray, random: Random) -> bytearray:
    for _ in range(random.choice([1, 1, 8])):
        if content:
            content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return content


def overwrite(content: bytearray, random: Random) -> bytearray:
    place, n = random.randrange(len(content) + 1), random.choice([1, 4, 64])
    content[place : place + n] = random.choice([bytes(n), b"\xff" * n, random.randbytes(n)])
    return content


def truncate(content: bytearray, random: Random) -> bytearray:
    return content[: random.randrange(len(content) + 1)]


def extend(content: bytearray, random: Random) -> bytes:
    return bytes(content) + random.choice([b"\0", b"\n", b"\n\n", b"garbage", bytes(content)])


def empty(content: bytearray, random: Random) -> bytes:
    return random.choice([b"", b"\n", b"null", b"[]", b"{}", b"5", b"\xff\xfe", b"\x80"])


def _encode(content: bytearray, random: Random) -> bytes:
    text = bytes(content).decode(errors="replace") + "# é\n"
    return text.encode(random.choice(ENCODINGS), errors="replace")


def _insert(content: bytearray, random: Random) -> bytearray:
    place = random.randrange(len(content) + 1)
    content[place:place] = random.choice(TEXT).encode()
    return content


def _lines(content: bytearray, random: Random) -> bytes:
    lines = bytes(content).splitlines(keepends=True) or [b"\n"]
    i, j = random.randrange(len(lines)), random.randrange(len(lines))
    kind = random.randrange(6)
    if kind == 0:
        del lines[i]
    elif kind == 1:
        lines.insert(j, lines[i])
    elif kind == 2:
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == 3:
        lines[i] = random.choice([b"  ", b"\t", b"    - "]) + lines[i]
    elif kind == 4:
        lines[i] = lines[i].lstrip()
    else:
        lines.insert(i, random.choice(["\n", "garbage\n", "a,b\n", "null\n", *TEXT]).encode())
    return b"".join(lines)


BYTES = {
    "flip": _bytes(flip),
    "overwrite": _bytes(overwrite),
    "truncate": _bytes(truncate),
    "extend": _bytes(extend),
    "empty": _bytes(empty),
}
LINES = {"encode": _bytes(_encode), "insert": _bytes(_insert), "lines": _bytes(_lines)}


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container of a tree with each of its keys or indices."""
    found: list[tuple[Any, Any]] = []
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        found += [(tree, key), *places(tree[key])]
    return found


def change(tree: Any, random: Random) -> Any:
    """A tree of plain values with one thing changed."""
    tree = copy.deepcopy(tree)
    found = places(tree)
    if not found:
        return odd(random)
    parent, key = random.choice(found)
    kind = random.randrange(12)
    if kind < 6:
        parent[key] = odd(random)
    elif kind == 6:
        del parent[key]
    elif kind == 7 and isinstance(parent, dict):
        parent[random.choice([5, None, "", f"{key}s", str(key)[1:], "[/z]", True])] = parent.pop(
            key
        )
    elif kind == 8:
        parent[key] = random.choice([[parent[key]], {"a": parent[key]}, str(parent[key])])
    elif kind == 9:
        other, place = random.choice(found)
        parent[key] = copy.deepcopy(other[place])
    elif kind == 10 and isinstance(parent, dict):
        parent[random.choice(["a", "class_path", "dict_kwargs", "__default__", 5])] = odd(random)
    elif isinstance(parent[key], int | float):
        parent[key] = random.choice([-parent[key], parent[key] * 1e9, str(parent[key]), 0])
    else:
        parent[key] = odd(random)
    return tree


def _change_yaml(path: Path, random: Random) -> None:
    tree = change(yaml.safe_load(path.read_text()), random)
    path.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=random.random() < 0.5))


def _change_json(path: Path, random: Random) -> None:
    """Of one document, or of one of many lines."""
    text = path.read_text()
    if path.suffix == ".json":
        path.write_text(json.dumps(change(json.loads(text), random)))
        return
    lines = text.splitlines()
    i = random.randrange(len(lines))
    lines[i] = json.dumps(change(json.loads(lines[i]), random))
    path.write_text("\n".join(lines) + "\n")


def _doubled_key(path: Path, random: Random) -> None:
    lines = path.read_text().splitlines()
    i = random.choice([i for i, line in enumerate(lines) if ":" in line] or [0])
    lines.insert(i + 1, lines[i].split(":")[0].replace("- ", "  ") + ": 1")
    path.write_text("\n".join(lines) + "\n")


YAML = {**BYTES, **LINES, "set": _change_yaml, "twice": _doubled_key}
JSON = {**BYTES, **LINES, "set": _change_json}

_CELLS = [
    *("", "nan", "inf", "-1", "1e400", "abc", HUGE, "x" * 131_073, "True", "0.5", "-3", "999999"),
    *("adaptive", "deployed", "nothing", '"', "1e3", "\x00", "é", "[/z]", "9" * 20),
]


def _cell(rows: list[list[str]], random: Random) -> None:
    row = random.choice(rows)
    row[random.randrange(len(row))] = random.choice(_CELLS)


def _column(rows: list[list[str]], random: Random) -> None:
    i = random.randrange(len(rows[0]))
    kind = random.randrange(4)
    for n, row in enumerate(rows):
        if kind == 0:
            del row[i : i + 1]
        elif kind == 1:
            row.insert(i, "odd" if n == 0 else "1")
        elif kind == 2 and n:
            row[i : i + 1] = [random.choice(_CELLS)]
        elif kind == 3:
            row += [f"m{k}" if n == 0 else "0.5" for k in range(3_000)]


def _row(rows: list[list[str]], random: Random) -> None:
    i, j = random.randrange(len(rows)), random.randrange(len(rows))
    kind = random.randrange(5)
    if kind == 0:
        del rows[i]
    elif kind == 1:
        rows.insert(j, list(rows[i]))
    elif kind == 2:
        rows[i], rows[j] = rows[j], rows[i]
    elif kind == 3:
        rows[i] = rows[i][:-1]
    else:
        rows[i] = [*rows[i], "1"]


def _csv(alter: Callable[[list[list[str]], Random], None]) -> Mutator:
    def mutate(path: Path, random: Random) -> None:
        rows = [row for row in csv.reader(io.StringIO(path.read_text())) if row] or [["a"]]
        alter(rows, random)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)

    return mutate


CSV = {**BYTES, **LINES, "cell": _csv(_cell), "column": _csv(_column), "row": _csv(_row)}


def _fifo(path: Path, random: Random) -> None:
    _remove(path)
    os.mkfifo(path)


def _link(path: Path, random: Random) -> None:
    """To a file outside of the run, to itself, or to nothing."""
    target = random.choice(["elsewhere.txt", path.name, "nothing"])
    top = next((p for p in path.parents if (p / "elsewhere.txt").is_file()), path.parent)
    _remove(path)
    path.symlink_to(top / target if target == "elsewhere.txt" else path.parent / target)


def _folder(path: Path, random: Random) -> None:
    _remove(path)
    path.mkdir()


def _gone(path: Path, random: Random) -> None:
    _remove(path)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.exists():
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


PLACE = {"fifo": _fifo, "link": _link, "folder": _folder, "gone": _gone}
"""What stands where a file should."""
