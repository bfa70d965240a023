"""A record file is on disk; processes add to it, and it survives damage."""

import csv
import glob
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from robust.errors import ConfigError
from robust.io import files
from robust.results.evidence.recorded import Evidence
from robust.results.kept.promised import KeptBytes
from robust.results.records import Header, unchecked_note
from robust.results.rows import Row, Rows
from robust.results.stored.checksums import Key, Sums, both, nested
from robust.results.stored.headers import DAMAGE, header_fault, header_text, read_header
from robust.results.stored.intact import Check, Damage, Intact, as_text, block_text, complete, union


class RecordFile:
    """The rows of one header on disk, to which several processes and commands may append.

    Every process appends complete blocks to a part of its own, and `merge` makes one file of them.
    If two commands evaluate the same, both do all the work, and no row is lost.

    Args:
        folder: Where records are; made if absent.
        header: What was attacked.
        rank: Rank of this process.
        classes: Number of classes of the data; None if it is not known.
        notes: Sentences that a reader of the rows has to know; kept in the header file.

    Raises:
        ConfigError: If the folder cannot be written or is a symbolic link, or something else has
            the name of a file.
    """

    def __init__(
        self,
        folder: Path,
        header: Header,
        rank: int = 0,
        classes: int | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.header = header
        self.notes: list[str] = []
        """What a reader of the rows that were read last has to know of them."""
        self._kept_notes = list(notes)
        self.evidence: Evidence | None = None
        """What is kept beside the rows; that of the file once it was read."""
        self.kept: KeptBytes | None = None
        """Kept images beside the rows; those that the file names once it was read."""
        name = f"{header.suite}-{header.fingerprint}"
        self.path = folder / f"{name}.csv"
        self._pattern = f"{glob.escape(name)}.part*.csv"
        self._part = folder / f"{name}.part{rank}.csv"
        self._damaged = folder / f"{name}.damaged.csv"
        self._check = Check(header.attacks, header.block, classes)
        self._lock = FileLock(folder / ".lock")
        try:
            files.own_folder(folder)
            for path in (self._part, self._damaged, folder / ".lock"):
                files.check_own_file(path)
            for path in (self.path, self.path.with_suffix(".json")):
                files.check_own_file(path, replaced=True)
            with files.alone(self._lock):
                _cut(self._part)
        except OSError as error:
            raise ConfigError(
                f"Expected to write records to {folder}, but cannot ({error.strerror}). Choose "
                "another run folder or fix its permissions."
            ) from None

    def read(self) -> Rows:
        """Return all intact rows: the merged ones, and the parts of interrupted evaluations.

        Damaged blocks are set aside and leave the records, and one line says so.

        Raises:
            ConfigError: If a file cannot be read.
        """
        with files.alone(self._lock):
            found = self._load()
            if found.damage:
                self._set_aside(found.damage)
                self._save(found)
        unchecked = len(found.rows) - int(found.checked.sum())
        self.notes = [unchecked_note(unchecked, len(found.rows))] if unchecked else []
        return found.rows

    def append(self, rows: Iterable[Row]) -> None:
        """Add the rows of a block, on disk when this returns."""
        ordered = Rows.from_rows(rows).ordered()
        blocks = [ordered[part] for *_, part in ordered.blocks(self.header.block)]
        with files.alone(self._lock):
            files.append(self._part, "".join(map(block_text, blocks)))

    def merge(self) -> None:
        """Replace merged file and parts by one file of all rows, atomically; one process does it.

        It reads all rows again, since another command may have added some.
        """
        with files.alone(self._lock):
            found = self._load()
            if found.damage:
                self._set_aside(found.damage)
            self._save(found)

    def kept_evidence(self) -> Evidence | None:
        """Return the evidence beside the merged rows, which another process may have written."""
        try:
            return read_header(self.path.with_suffix(".json")).evidence
        except (OSError, *DAMAGE):
            return None

    def _load(self) -> Intact:
        found: list[Intact] = []
        try:
            if os.path.lexists(self.path):
                found.append(self._merged(files.read(self.path)))
            for part in sorted(self.path.parent.glob(self._pattern)):
                found += self._check.part(complete(files.read(part)))
        except OSError as error:
            raise ConfigError(
                f"Expected to read the records in {self.path.parent}, but cannot "
                f"({Path(error.filename or self.path).name}: {error.strerror}). Remove that file "
                "or fix its permissions."
            ) from None
        return union(found)

    def _merged(self, content: bytes) -> Intact:
        try:
            header, sums, _, evidence, kept = read_header(self.path.with_suffix(".json"))
            if header != json.loads(json.dumps(self.header.plain())):
                raise ValueError("it is of another protocol")
        except (OSError, *DAMAGE) as error:
            reason = f"a header that cannot be believed: {header_fault(error)}"
            found = union([])
            return found._replace(damage=[Damage(reason, as_text(content))])
        self.evidence, self.kept = self.evidence or evidence, self.kept or kept
        return self._check.merged(content, sums)

    def _set_aside(self, damage: Sequence[Damage]) -> None:
        header = self.path.with_suffix(".json")
        files.append(self._damaged, "".join(each.text for each in damage))
        if any(each.reason.startswith("a header") for each in damage):
            self.path.unlink()  # or a new header would vouch for rows that cannot be believed
            header.unlink(missing_ok=True)
        blocks = len({each.key for each in damage})
        reasons = ", ".join(dict.fromkeys(each.reason for each in damage))
        print(
            f"{self.path.name}: {blocks} damaged {'block' if blocks == 1 else 'blocks'} "
            f"({reasons:.100}). Set aside in its .damaged.csv, to be attacked again.",
            file=sys.stderr,
        )

    def _save(self, found: Intact) -> None:
        sums = found.checksums(self.header.block)
        head, text = self.path.with_suffix(".json"), self._head(sums)
        parts = list(self.path.parent.glob(self._pattern))
        added = any(part.stat().st_size for part in parts)
        if added or found.damage or not self._is_saved(head, text):
            self._replace(found, sums)
        for part in parts:
            part.unlink(missing_ok=True)

    def _replace(self, found: Intact, sums: Mapping[Key, str]) -> None:
        head = self.path.with_suffix(".json")
        between = both(self._sums(), sums) if self.path.exists() else sums
        # If the process is killed here, the old rows fit this header, and the new ones do too.
        files.write(head, self._head(between))
        with files.replacing(self.path) as file:
            lines = io.TextIOWrapper(file, encoding="utf-8", newline="")
            writer = csv.writer(lines)
            writer.writerow(Row._fields)
            writer.writerows(found.rows)
            lines.flush()
            lines.detach()
        if between != sums:
            files.write(head, self._head(sums))

    def _is_saved(self, head: Path, text: str) -> bool:
        """Whether there are rows beside exactly this header, both of them files."""
        if self.path.is_symlink() or head.is_symlink() or not self.path.exists():
            return False
        try:
            return files.read(head) == text.encode()
        except OSError:
            return False

    def _sums(self) -> Sums | None:
        try:
            return read_header(self.path.with_suffix(".json")).sums
        except (OSError, *DAMAGE):
            return None

    def _head(self, sums: Mapping[Key, str]) -> str:
        content = self.header.plain()
        if self._kept_notes:
            content["notes"] = self._kept_notes
        if self.evidence is not None:
            content["evidence"] = self.evidence.plain()
        if self.kept is not None:
            content["kept"] = self.kept.plain()
        return header_text(content | {"checksums": nested(sums)})


def _cut(part: Path) -> None:
    """Make the file if absent, and cut off a block that a killed process left incomplete."""
    with files.open_to_append(part) as file:
        file.seek(0)
        file.truncate(len(complete(file.readall())))
