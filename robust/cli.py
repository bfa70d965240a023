"""The command line: `python train.py {fit,validate,test} --config configs/squeezed.yaml`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.evaluation import AttackEvaluation
from robust.evaluation.tables import print_comparison
from robust.parsing import (
    PARSER_MODE,
    Parser,
    fractions_to_decimals,
    keep_freed_memory,
    run_command,
)
from robust.tracking import Run, SaveRunConfig, loggers


class RobustCLI(LightningCLI):
    """Lightning's command line with a run folder, tracking, and a test after `fit`."""

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
                "enable_model_summary": False,
                "log_every_n_steps": 10,
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
        self.trainer_defaults["callbacks"] = _callbacks(trainer)
        return super().instantiate_trainer(**kwargs)

    def after_fit(self) -> None:
        """Test at once: one command gives one answer, clean accuracy and that under the suite."""
        if not self.trainer.fast_dev_run:
            self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
            self.after_test()

    def after_test(self) -> None:
        """Print the table of this run."""
        result = self._get(self.config_init, "evaluation").result
        if result is not None and self.trainer.is_global_zero:
            print_comparison({f"{self.run.name}/{self.run.id}": result})
            print(f"Files of this run: {self.trainer.default_root_dir}")


def train(args: Sequence[str] | None = None) -> int:
    """`train.py`: returns its exit code."""
    keep_freed_memory()
    arguments = fractions_to_decimals(sys.argv[1:] if args is None else args)
    if args is None:
        sys.argv[1:] = arguments
        return run_command(RobustCLI)
    return run_command(lambda: RobustCLI(arguments))


def _callbacks(trainer: Mapping[str, Any]) -> list[Callback]:
    """A progress bar and a checkpoint, unless the trainer was told to have none or its own."""
    callbacks: list[Callback] = []
    own = [type(callback) for callback in trainer.get("callbacks") or []]
    if trainer.get("enable_progress_bar") is not False:
        callbacks.append(RichProgressBar())
    if trainer.get("enable_checkpointing") is not False and ModelCheckpoint not in own:
        # The papers report the last epoch. One file, overwritten atomically after every epoch.
        callbacks.append(ModelCheckpoint(filename="last", enable_version_counter=False))
    return callbacks
