"""A network that was trained elsewhere as a run: read, checked, and kept in a folder of its own."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from robust.checkpoints import DESCRIPTION, NOTES, checksums, read_checkpoint
from robust.data import ImageDataModule
from robust.defenses import Pretrained
from robust.defenses.adapting.adapt import Given, adapt
from robust.errors import ConfigError
from robust.io import files
from robust.io.notes import note
from robust.io.version import package_version
from robust.io.yaml_writing import dump
from robust.loading.other_data import data_named
from robust.loading.pretrained.built import PROGRAM, Built, Request, built, view_of
from robust.loading.pretrained.described import described
from robust.networks.descriptions import description
from robust.results.run_folder import LAST
from robust.tracking import AtomicCheckpoints


@dataclass(frozen=True)
class Asked:
    """What a user asks to be evaluated.

    Args:
        request: The network.
        data: Short name of the images, or a path.
        reading: How image files are read: arguments of the data module.
        given: What is said of the network, of which the view is said by ``view``.
        view: What builds its adaptive view, such as ``mymodule.MyView``.
        folder: Of its run; ``runs/<name>/<id>`` if None, the same for the same network and data.
    """

    request: Request
    data: str
    reading: Mapping[str, Any] = field(default_factory=dict)
    given: Given = Given()  # noqa: RUF009 (a tuple)
    view: str | None = None
    folder: Path | None = None


class Kept(NamedTuple):
    """The run of a network: its checkpoint, and all that is in it."""

    path: Path
    defense: Pretrained
    data: ImageDataModule
    notes: tuple[str, ...]
    described: Mapping[str, Any]


def keep(asked: Asked) -> Kept:
    """Read and check a network, and make the folder of its run if there is none.

    Raises:
        ConfigError: If the network cannot be read, or does not pass a check.
    """
    data = data_named(asked.data, asked.reading)
    found = built(asked.request, data.num_classes)
    given = _given(asked, found)
    defense, checked = adapt(found.network, data, given)
    notes = [*found.notes, *checked]
    for line in notes:
        note(line)
    network = found.description
    parts = {
        "model": described(defense, network, asked.view),
        "data": description(data),
    }
    content = _content(defense, parts, notes)
    return Kept(_written(asked.folder, found, content), defense.eval(), data, tuple(notes), parts)


def _given(asked: Asked, found: Built) -> Given:
    given = asked.given
    if given.mean is None and given.std is None:
        given = given._replace(mean=found.mean, std=found.std)
    view = None if asked.view is None else view_of(asked.view)
    return given._replace(adaptive=view, batch_size=found.batch_size)


def _content(defense: Pretrained, parts: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    content: dict[str, Any] = {"state_dict": defense.state_dict(), NOTES: notes}
    content[DESCRIPTION] = {**parts, "version": package_version()}
    return content


def _identity(content: dict[str, Any]) -> str:
    """The same for the same network on the same data, whatever version of ours reads it."""
    parts = {key: content[DESCRIPTION][key] for key in ("model", "data")}
    sums = checksums({"state_dict": content["state_dict"]})
    return hashlib.sha256(json.dumps([parts, sums], sort_keys=True).encode()).hexdigest()[:8]


def _written(folder: Path | None, found: Built, content: dict[str, Any]) -> Path:
    """The checkpoint of the network, written unless it is there already."""
    identity = _identity(content)
    place = Path("runs") / found.stem / identity if folder is None else folder
    path = place / "checkpoints" / LAST
    if path.is_file():
        if _identity(read_checkpoint(path)) != identity:
            raise ConfigError(
                f"Expected a new folder or one of this network on these data as --output, but "
                f"{place} has the run of another. Name another folder."
            )
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if found.program is not None:
            _copy(found.program, place / f"{PROGRAM}{found.program.suffix}")
        files.write(
            place / "config.yaml", dump({k: content[DESCRIPTION][k] for k in ("model", "data")})
        )
        AtomicCheckpoints().save_checkpoint(content, path)
    except OSError as error:
        raise ConfigError(
            f"Expected a run folder that can be written, but got {place} ({error.strerror}). "
            "Choose another with --output."
        ) from None
    return path


def _copy(file: Path, place: Path) -> None:
    """Copy a file beside its new place and rename it, so that no link there is written through."""
    with files.open_to_read(file) as content, files.replacing(place) as copy:
        shutil.copyfileobj(content, copy)
