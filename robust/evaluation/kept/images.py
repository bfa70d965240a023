"""Successes of the first images are kept, in a form that was scored again."""

import contextlib
import glob
import platform
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from filelock import FileLock

from robust.defenses.base import Defense
from robust.evaluation.blocks import Block, Produced
from robust.io import files
from robust.results.kept.forms import encode
from robust.results.kept.promised import KeptBytes
from robust.results.kept.sheets import Sheet, sheet_path
from robust.results.kept.stored import Frame, cut, described, kept_path, merge
from robust.results.records import Header
from robust.results.rows import Column, Rows

Keep = int | Literal["all", "usual"]
"""So many images count, from the first; usually 64, or fewer of large ones."""
_USUAL = 64
_BYTES = 1 << 22
"""Bytes that successes of one attack and view usually take at most, before they are compressed."""
_KEEP: ContextVar[Keep] = ContextVar("keep", default="usual")


@contextlib.contextmanager
def keeping(images: Keep) -> Iterator[None]:
    """Keep successes of another number of images meanwhile.

    Args:
        images: Images that count, from the first.
    """
    token = _KEEP.set(images)
    try:
        yield
    finally:
        _KEEP.reset(token)


class KeptImages:
    """The kept images of one header on disk, to which several processes may append.

    Args:
        record: The record file beside which they are.
        header: What is attacked.
        rank: Rank of this process.

    Raises:
        ConfigError: If something else has the name of a file.
    """

    def __init__(self, record: Path, header: Header, rank: int = 0) -> None:
        self._path, self._header, self._keep = kept_path(record), header, _KEEP.get()
        self._sheet = sheet_path(record.parent, header.data_sha256)
        self._part = self._path.with_name(f"{record.stem}.part{rank}.kept")
        self._lock = FileLock(record.parent / ".lock")
        files.check_own_file(self._path, replaced=True)
        files.check_own_file(self._part)
        if self._part.is_file():
            with files.alone(self._lock):
                cut(self._part)

    def add(self, defense: Defense, block: Block, produced: Produced) -> None:
        """Keep the successes of an attack on a block.

        Args:
            defense: It scores what will be read back.
            block: The clean images.
            produced: What the attack did.
        """
        self._keep_clean(block)
        rows = Rows.from_rows(produced.rows[: len(block.y)])
        chosen = self._header.attacks[produced.attack].misclassified_within_eps(rows)
        if self._keep != "all":
            chosen &= rows["index"] < self._most(block.x)
        if not chosen.any():
            return
        labels = block.y.cpu().numpy()[chosen]
        x, x_adv = (_array(images)[chosen] for images in (block.x, produced.x_adv))

        def is_success(images: Column, which: Column) -> Column:
            scored = torch.from_numpy(np.ascontiguousarray(images)).to(block.x)
            with torch.no_grad():
                predicted = defense(scored).argmax(dim=1).cpu().numpy()
            missed: Column = predicted != labels[which]
            return missed

        form, images = encode(x, x_adv, is_success)
        frame = Frame(
            tuple(produced.views), produced.attack, rows["index"][chosen], form, images, hardware()
        )
        text = frame.encoded().decode("ascii", errors="surrogateescape")
        with files.alone(self._lock):
            files.append(self._part, text, sync=False)

    def _keep_clean(self, block: Block) -> None:
        """Keep the first clean images as they are in the data set, once for all suites."""
        usual = _usual(block.x)
        count = usual if self._keep == "all" else min(usual, self._most(block.x))
        is_first = block.index[0].item() == 0
        if count and is_first and block.x.shape[1] in (1, 3) and not self._sheet.exists():
            x = np.rint(_array(block.x[:count]) * 255).astype(np.uint8)
            Sheet(x.transpose(0, 2, 3, 1)).write(self._sheet)

    def _most(self, x: torch.Tensor) -> int:
        if isinstance(self._keep, int):
            return self._keep
        return _usual(x)

    def merge(self, known: KeptBytes | None = None) -> KeptBytes | None:
        """Put the parts of all processes into one file, and return it; one process does it.

        Args:
            known: What the header names. It stays if nothing is added, whatever the file is now.
        """
        with files.alone(self._lock):
            found = sorted(self._path.parent.glob(f"{glob.escape(self._path.stem)}.part*.kept"))
            parts = [part for part in found if not part.is_symlink()]
            merge(parts, self._path)
            return KeptBytes.in_file(self._path) if parts or known is None else known


def hardware() -> str:
    """Return this machine in words."""
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return described(
        {
            "CPU": platform.processor() or platform.machine(),
            "GPU": cuda,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
    )


def _array(images: torch.Tensor) -> Column:
    return images.detach().cpu().float().numpy()


def _usual(x: torch.Tensor) -> int:
    """Return how many of such images are kept if nobody says."""
    return max(1, min(_USUAL, _BYTES // (2 * x[0].numel())))
