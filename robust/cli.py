"""The command line: `python train.py {fit,validate,test} --config configs/squeezed.yaml`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.evaluation import AttackEvaluation
from robust.parsing import PARSER_MODE, Parser, fractions_to_decimals, run_command
from robust.tracking import Run, SaveRunConfig, loggers

class RobustCLI(LightningCLI):
    """Lightning's command line with our defaults: a run folder, tracking, and a test after `fit`."""

    def __init__(self, args: Sequence[str] | None = None) -> None:
        mode = {"parser_mode": PARSER_MODE}
        super().__init__(
            Defense,
            ImageDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveRunConfig,
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={**mode, **{name: dict(mode) for name in self.subcommands()}},
            # Attacks need gradients in the test loop; our loaders know their own share of the data.
            trainer_defaults={
                "inference_mode": False,
                "use_distributed_sampler": False,
                "callbacks": [RichProgressBar(), _last_checkpoint()],
            },
            auto_configure_optimizers=False,
            args=list(args) if args is not None else None,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """`fit`, `validate` and `test`."""
        return {k: v for k, v in LightningCLI.subcommands().items() if k != "predict"}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the suite of attacks and the run's name."""
        parser.add_lightning_class_args(AttackEvaluation, "evaluation")
        parser.add_class_arguments(Run, "run")

    def before_instantiate_classes(self) -> None:
        """Settle the run's folder: a new one, or that of the checkpoint to go on from."""
        config = self.config[self.subcommand]
        run = Run(**config.run.as_dict())
        ckpt_path = config.get("ckpt_path")
        earlier = Run.from_checkpoint(ckpt_path) if ckpt_path and run.id is None else None
        if earlier is not None:
            run = earlier
        paths = [Path(str(path)) for path in config.get("config") or []]
        self.run = run.settled(paths[-1].stem if paths else "run")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401
        """Give the trainer the run's folder and loggers, unless it was told its own."""
        trainer = self._get(self.config_init, "trainer")
        if trainer.get("logger") in (None, True) and not trainer.get("fast_dev_run"):
            kwargs["logger"] = loggers(self.run)
        if trainer.get("default_root_dir") is None:
            kwargs["default_root_dir"] = str(self.run.folder)
        return super().instantiate_trainer(**kwargs)

    def after_fit(self) -> None:
        """One command gives one answer: clean accuracy, and accuracy under the suite."""
        if not self.trainer.fast_dev_run:
            self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)


def train(args: Sequence[str] | None = None) -> int:
    """`train.py`: returns its exit code."""
    arguments = fractions_to_decimals(sys.argv[1:] if args is None else args)
    if args is None:
        sys.argv[1:] = arguments
        return run_command(RobustCLI)
    return run_command(lambda: RobustCLI(arguments))


def _last_checkpoint() -> ModelCheckpoint:
    # The papers report the last epoch. One file, overwritten atomically after every epoch.
    return ModelCheckpoint(filename="last", enable_version_counter=False)
