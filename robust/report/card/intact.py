"""What is damaged of records: their rows, their headers, and the kept images beside them."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from robust.io import files
from robust.results.kept.stored import kept_path, read_frames
from robust.results.records import UnreadableRecords, read_evaluation
from robust.results.rows import Row
from robust.results.run_folder import RunFiles
from robust.results.stored.headers import DAMAGE, SEAL, header_text, read_header, sealed


def record_paths(folder: Path) -> list[Path]:
    """Return the record files of a run, without parts and without what was set aside."""
    return sorted(
        path
        for path in folder.glob("records/*.csv")
        if ".part" not in path.name and not path.name.endswith(".damaged.csv")
    )


def damage(run: RunFiles) -> dict[Path, list[str]]:
    """Return what is damaged of each record file of a run, in sentences; nothing if all is well."""
    found = {path: list(record_faults(path)) for path in record_paths(run.folder)}
    return {path: faults for path, faults in found.items() if faults}


def record_faults(path: Path) -> Iterator[str]:
    """Yield what is wrong with a record file, its header and its kept images."""
    yield from _header_faults(path.with_suffix(".json"))
    try:
        evaluation = read_evaluation(path)
        same = _text(evaluation.rows) == files.read(path)
    except UnreadableRecords as error:
        yield f"cannot be read ({error.reason})."
        return
    except OSError as error:
        yield f"cannot be read ({error.strerror})."
        return
    yield from (note for note in evaluation.notes if note.startswith(("damaged", "unchecked")))
    if not same:
        yield "its bytes are not those of its rows."
    yield from _kept_faults(path)


def _kept_faults(record: Path) -> Iterator[str]:
    """Yield what is wrong with the kept images beside a record file that can be read."""
    kept = kept_path(record)
    if kept.is_symlink() or (kept.exists() and not kept.is_file()):
        yield f"{kept.name} is no regular file."
        return
    promised = read_header(record.with_suffix(".json")).kept
    try:
        faults = read_frames(kept)[1]
    except FileNotFoundError:
        faults = []
    except OSError as error:
        faults = [f"it cannot be read ({error.strerror})"]
    yield from (f"{kept.name}, {fault}." for fault in faults)
    if promised is not None and not faults and (fault := promised.fault(kept)):
        yield f"{kept.name} {fault}."


def _header_faults(path: Path) -> Iterator[str]:
    try:
        text = files.read(path)
        content = json.loads(text)
        if SEAL not in content:
            yield "its header is from before there were seals; evaluate again."
        elif sealed(content)[SEAL] != content[SEAL] or header_text(content).encode() != text:
            yield "its header is not as it was written."
    except (OSError, *DAMAGE):
        yield "its header cannot be read."


def _text(rows: Sequence[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return text.getvalue().encode()
