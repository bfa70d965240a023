"""The data of a trainer are an `ImageDataModule`, or somebody else's."""

from lightning.pytorch import Trainer

from robust.data.datamodule import ImageDataModule
from robust.errors import ConfigError


def image_module(trainer: Trainer) -> ImageDataModule | None:
    """Return the data module of a trainer; None if it has none, or none of images."""
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, ImageDataModule) else None


def required_image_module(trainer: Trainer, wanted: str) -> ImageDataModule:
    """Return the data module of a trainer.

    Args:
        trainer: Whose data.
        wanted: What is taken from it, such as ``test samples``.

    Raises:
        ConfigError: If it is no `ImageDataModule`.
    """
    module = image_module(trainer)
    if module is None:
        raise ConfigError(
            f"Expected an ImageDataModule to take {wanted} from, but got "
            f"{type(getattr(trainer, 'datamodule', None)).__name__}. Pass one as `datamodule`; it "
            "reads any .npz file."
        )
    return module
