"""What a command may do with any input: how it may end, what it may print, what it may change."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.fuzz.zygote import Outcome

CODES = {"train.py": {0, 2, 75, 130, 141, 143}, "evaluate.py": {0, 2, 75, 130, 141, 143}}
CODES["sweep"] = CODES["train.py"] | {1}
LONGEST = 300
_ERROR = re.compile(r"^(?:[\w. -]+: )?error: ", re.M)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# What is derived from the rest, and so made again by each command that writes it.
_DERIVED = re.compile(
    r"(^|/)(\.lock|records/[^/]+\.json|sweep\.(csv|json)|.*\.png|.*\.svg|old\.html|tables\.md|starts\.txt|log\.txt)$"
)
_CHECKPOINT = re.compile(r"/checkpoints/[^/]+\.ckpt$")

Tree = Mapping[str, bytes]
"""Content of every file by its path; of what is no file a word instead."""


def snapshot(folder: Path) -> Tree:
    """A folder's files."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*"))
            if not path.is_dir() or path.is_symlink()}  # fmt: skip


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return b"link to " + str(path.readlink()).encode()
    return path.read_bytes() if path.is_file() else b"special"


def faults(program: str, args: list[str], outcome: Outcome, before: Tree, after: Tree) -> list[str]:
    """What is wrong with how a command ended, a kind a line; nothing if it behaved."""
    return [*_ended(program, outcome), *_printed(outcome), *_changed(program, args, before, after)]


def _ended(program: str, outcome: Outcome) -> Iterator[str]:
    if outcome.stopped:
        yield f"too much {outcome.stopped}: {_frame(outcome.err)}"
    elif outcome.code < 0:
        yield f"ended by signal {-outcome.code}"
    elif "Traceback (most recent call last)" in outcome.out + outcome.err:
        yield f"traceback: {_frame(outcome.err)}"
    elif outcome.code not in CODES[program]:
        yield f"exit code {outcome.code}: {_last(outcome.err)}"


def _printed(outcome: Outcome) -> Iterator[str]:
    told = [line for line in outcome.err.splitlines() if _ERROR.search(line)]
    if outcome.code == 2 and len(told) != 1:
        yield f"{len(told)} error lines: {_last(outcome.err)}"
    for line in told:
        if len(line) > LONGEST:
            yield f"a long error line: {_shape(line)}"
    for text in (outcome.out, outcome.err):
        if found := _UNPRINTABLE.search(text):
            place = text.rfind("\n", 0, found.start()) + 1
            yield f"control character {found[0]!r}: {_shape(text[place:])}"
            break


def _changed(program: str, args: list[str], before: Tree, after: Tree) -> Iterator[str]:
    kept = {hashlib.sha256(content).digest() for content in after.values()}
    lines: dict[str, set[bytes]] = {}
    for path, content in before.items():
        if after.get(path) == content or hashlib.sha256(content).digest() in kept:
            continue
        if _DERIVED.search(path) or (program == "train.py" and _CHECKPOINT.search(path)):
            if content and not after.get(path, b""):
                yield f"emptied: {_kind(path)}"
            continue
        folder = str(Path(path).parent)
        if path.endswith(".kept"):
            if not any(text.startswith(content) for name, text in after.items() if folder in name):
                yield f"lost: {_kind(path)}"
            continue
        if folder not in lines:
            there = (text for name, text in after.items() if name.startswith(folder))
            lines[folder] = {_row(line) for text in there for line in text.splitlines()}
        complete = content[: content.rfind(b"\n") + 1]
        if (
            not path.endswith((".csv", ".jsonl"))
            or not {_row(line) for line in complete.splitlines()} <= lines[folder]
        ):
            yield f"lost: {_kind(path)}"
    for path in after:
        if path not in before and re.search(r"\.(new|tmp)$|/tmp[^/]*$", path):
            yield f"left behind: {_kind(path)}"


def _row(line: bytes) -> bytes:
    """A line; of a record neither its names, of which one that is unknown is cut, nor its time.

    A block that is attacked again for one view is so for each view that is the same module.
    """
    cells = line.strip().split(b",")
    return b",".join(cells[2:15]) if len(cells) > 15 else line.strip()


def _kind(path: str) -> str:
    return re.sub(r"[0-9a-f]{6,}", "#", path)


def _frame(err: str) -> str:
    """The error's class and message, and the innermost frame of ours."""
    ours = re.findall(r'File "[^"]*/(robust/[^"]+)", line \d+, in (\S+)', err)
    return f"{_last(err)} [{' '.join(ours[-1]) if ours else 'outside'}]"


def _last(err: str) -> str:
    lines = [line for line in err.splitlines() if line.strip()]
    return _shape(lines[-1]) if lines else "nothing was said"


def _shape(line: str) -> str:
    """A line without what differs from input to input."""
    line = re.sub(r"'[^']*'|\"[^\"]*\"", "'?'", line)
    return re.sub(r"-?\d+(\.\d+)?", "#", line)[:110]
