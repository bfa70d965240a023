"""Checkpoints that are whole at any time."""

import io
import os
from pathlib import Path
from typing import Any, final

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.types import _PATH


@final
class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the earlier one and then puts it in its place.

    Lightning writes it to the system's temporary folder and moves it. To another file system that
    is a copy onto the earlier checkpoint: on a full disk, or in a process that is killed then,
    neither is left.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: _PATH,
        storage_options: Any | None = None,  # noqa: ANN401
    ) -> None:
        """Replace the file at ``path``, or leave it as it is.

        Raises:
            OSError: If it cannot be written.
        """
        path = Path(path)
        buffer = io.BytesIO()  # whose errors are not those of a full disk
        torch.save(checkpoint, buffer)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        try:
            with new.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
