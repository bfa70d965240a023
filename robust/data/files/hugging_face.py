"""Image sets of the Hugging Face library `datasets`, by name or from a folder on disk."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from robust.data.files.decoding import Decoding, UnusableImage, channels_of, opened
from robust.data.samples import Dataset, Indices, Pixels, Samples, StoredImages, no_samples
from robust.errors import ConfigError, how_to_install, in_short
from robust.io.text_files import expanded

_TESTS = ("test", "validation", "valid", "val")
_TRAIN = "train"
_LABELS = ("label", "labels", "fine_label", "target")
_LOOKED_AT = 32
_MISSING = (
    "Expected the library of Hugging Face for hf:, but `datasets` is not installed. "
    f"{how_to_install('hf')}"
)


class HuggingFaceImages(StoredImages):
    """Images of a split of a set, which lies on disk as one table.

    Args:
        table: The split, with one column of encoded images.
        column: That column.
        decoding: What becomes of each, with the channels.
        shape: (C, H, W), which each of them must have.
        workers: Number of processes that read batches ahead.
        name: Of the split, for messages.
    """

    def __init__(
        self,
        table: Any,  # noqa: ANN401 (of an optional library)
        column: str,
        decoding: Decoding,
        shape: tuple[int, int, int],
        workers: int,
        name: str,
    ) -> None:
        super().__init__((len(table), *shape), workers)
        self._table, self._column, self._decoding, self._name = table, column, decoding, name

    def take(self, index: Indices) -> Pixels:
        """Read some images.

        Raises:
            ConfigError: If one of them is unusable or has another shape.
        """
        made = torch.empty((len(index), *self.shape[1:]), dtype=torch.uint8)
        for row, i in enumerate(index.tolist()):
            try:
                pixels = self._decoding.pixels(_content(self._table[i][self._column]))
            except UnusableImage as error:
                raise ConfigError(
                    f"Expected an image in row {i} of {self._name}, but it cannot be used "
                    f"({error}). Leave it out with select()."
                ) from None
            if pixels.shape != made.shape[1:]:
                raise ConfigError(
                    f"Expected images of one size, but row {i} of {self._name} has "
                    f"{pixels.shape[2]}x{pixels.shape[1]} pixels and others have "
                    f"{self.shape[3]}x{self.shape[2]}. Give --size 224, for example."
                )
            made[row] = pixels
        return made

    def digest(self, stop: int) -> bytes:
        """Return a hash of the first ``stop`` encoded images and of how they are decoded.

        Raises:
            ConfigError: If one of them cannot be read.
        """
        digest = hashlib.sha256(repr(self._decoding).encode())
        for i in range(stop):
            digest.update(hashlib.sha256(_content(self._table[i][self._column])).digest())
        return digest.digest()


def load_hugging_face(
    named: str, decoding: Decoding, workers: int
) -> tuple[Dataset, tuple[str, ...]]:
    """Return an image set of the Hub or of a folder, and the names of its classes if it has any.

    With a split it is a test part alone. Otherwise the test part is ``test`` or ``validation``, and
    the training part ``train``.

    Args:
        named: Name or folder, and after a colon the split.
        decoding: What becomes of the images.
        workers: Number of processes that read batches ahead.

    Raises:
        ConfigError: If the library is not installed, the set cannot be had, or has no images with
            labels.
    """
    name, _, split = named.partition(":")
    splits = _splits(name)
    test = split or next((key for key in _TESTS if key in splits), "")
    if test not in splits:
        first = next(iter(splits), "test")
        raise ConfigError(
            f"Expected a test split of {name[:60]}, but got {split[:40] or 'none'!r} of "
            f"{', '.join(splits)[:100]}. Name one after a colon: hf:{name[:60]}:{first}."
        )
    tables = {} if split or _TRAIN not in splits else {_TRAIN: splits[_TRAIN]}
    tables["test"] = splits[test]
    return _dataset(tables, name, decoding, workers)


def _dataset(
    tables: Mapping[str, Any], name: str, decoding: Decoding, workers: int
) -> tuple[Dataset, tuple[str, ...]]:
    test = tables["test"]
    column, label = _image_column(test, name), _label_column(test, name)
    encoded = {key: _encoded(table, column) for key, table in tables.items()}
    decoding, shape = _described(encoded["test"], column, decoding, name)
    parts = {
        key: Samples(
            HuggingFaceImages(table, column, decoding, shape, workers, f"{name} ({key})"),
            _labels(tables[key], label, name),
        )
        for key, table in encoded.items()
    }
    classes = tuple(map(str, getattr(test.features[label], "names", None) or ()))
    return Dataset(parts.get(_TRAIN, no_samples(shape)), parts["test"]), classes


def _splits(name: str) -> dict[str, Any]:
    """All splits of a set, from disk if there is such a folder."""
    try:
        import datasets
    except ImportError:
        raise ConfigError(_MISSING) from None
    path = expanded(name)
    with _quiet(datasets):
        try:
            found = _from_disk(datasets, path) if path.is_dir() else datasets.load_dataset(name)
        # Of a server, a cache, a script that is refused, a table that is damaged: any kind.
        except Exception as error:
            raise ConfigError(
                f"Expected an image set hf:{name[:60]}, but it cannot be had ({in_short(error)}). "
                "Correct the name, or give the folder of one that is on disk."
            ) from None
    return dict(found) if isinstance(found, Mapping) else {"test": found}


def _from_disk(datasets: Any, path: Path) -> Any:  # noqa: ANN401
    """What `save_to_disk` wrote, or a folder as the Hub has them."""
    saved = ("dataset_dict.json", "state.json")
    if any((path / name).is_file() for name in saved):
        return datasets.load_from_disk(str(path))
    return datasets.load_dataset(str(path))


@contextlib.contextmanager
def _quiet(datasets: Any) -> Iterator[None]:  # noqa: ANN401
    """Without bars of progress, unless somebody says that they are wanted."""
    if "HF_DATASETS_DISABLE_PROGRESS_BARS" not in os.environ:
        datasets.disable_progress_bars()
    yield


def _image_column(table: Any, name: str) -> str:  # noqa: ANN401
    found = [key for key, kind in table.features.items() if type(kind).__name__ == "Image"]
    if len(found) != 1:
        raise ConfigError(
            f"Expected one column of images in {name[:60]}, but got {len(found)} among "
            f"{', '.join(table.features)[:100]}. Keep one with select_columns()."
        )
    return str(found[0])


def _label_column(table: Any, name: str) -> str:  # noqa: ANN401
    kinds = {key: type(kind).__name__ for key, kind in table.features.items()}
    named = [key for key, kind in kinds.items() if kind == "ClassLabel"]
    known = [key for key in _LABELS if key in kinds]
    found = named if len(named) == 1 else known
    if not found:
        raise ConfigError(
            f"Expected a column of labels in {name[:60]}, but got "
            f"{', '.join(table.features)[:100]}. Call it label."
        )
    return str(found[0])


def _labels(table: Any, column: str, name: str) -> torch.Tensor:  # noqa: ANN401
    values = table.data.column(column).to_numpy() if table._indices is None else table[column]
    try:
        y = torch.tensor(list(values))
    except (TypeError, ValueError, RuntimeError):
        y = torch.zeros(1)
    if y.is_floating_point() or y.ndim != 1 or (len(y) and y.min() < 0):
        raise ConfigError(
            f"Expected labels from 0 on in the column {column} of {name[:60]}, but some are not. "
            "Choose a split that has labels, or number the classes from 0."
        )
    return y.long()


def _encoded(table: Any, column: str) -> Any:  # noqa: ANN401
    import datasets

    return table.select_columns([column]).cast_column(column, datasets.Image(decode=False))


def _content(stored: Mapping[str, Any] | None) -> bytes:
    """Return the encoded image of a cell: its bytes, or those of the file that it names."""
    if stored is None:
        return b""
    if stored.get("bytes") is not None:
        return bytes(stored["bytes"])
    try:
        return Path(stored["path"]).read_bytes()
    except OSError as error:
        raise UnusableImage(error.strerror or "it cannot be read") from None


def _described(
    table: Any,  # noqa: ANN401
    column: str,
    decoding: Decoding,
    name: str,
) -> tuple[Decoding, tuple[int, int, int]]:
    """What becomes of images, with channels, and their shape, by some of them."""
    if not len(table):
        raise ConfigError(f"Expected images in {name[:60]}, but the split is empty.")
    step = max(1, len(table) // _LOOKED_AT)
    try:
        images = [opened(_content(table[i][column])) for i in range(0, len(table), step)]
    except UnusableImage as error:
        raise ConfigError(
            f"Expected images in {name[:60]}, but one is unusable ({error}). Leave it out."
        ) from None
    if decoding.channels is None:
        decoding = replace(decoding, channels=channels_of(images))
    crop = decoding.crop or decoding.size
    width, height = (crop, crop) if crop is not None else images[0].size
    assert decoding.channels is not None
    return decoding, (decoding.channels, height, width)
