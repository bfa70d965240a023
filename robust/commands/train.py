"""The command line: `python train.py {fit,validate,test} --config configs/squeezed.yaml`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from robust.checkpoints import check_finite, notes_of, read_checkpoint
from robust.commands.options.train import with_paths
from robust.commands.process import run_command
from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.io.labels import Label, label_of, swept_keys
from robust.io.names import printable
from robust.io.notes import Figures
from robust.io.strict_yaml import read
from robust.io.text_files import check_arguments
from robust.loading.attack_specs import missing_attacks
from robust.loading.parsing.parser import Parser, check_files, typed
from robust.loading.restore import check_fits
from robust.loading.suites import evaluation_class
from robust.loading.trust import TRUST_HELP, taken, trusting
from robust.precision import warn_if_emulated
from robust.results.run_folder import BEST, LAST
from robust.results.tables import comparison
from robust.tracking import (
    BestCheckpoint,
    Preemption,
    Run,
    SaveRunConfig,
    TrainingAccuracy,
    TrainingSeconds,
    check_processes,
    check_strategy,
    check_trainer,
    log_run,
    loggers,
    plugins,
    remove_unused,
    run_lock,
)
from robust.tracking.failures import failures_told
from robust.tracking.progress import progress_bar
from robust.tracking.trainers import user_errors


class RobustCLI(LightningCLI):
    """Lightning's command line with a run folder, tracking, and a test after `fit`.

    Args:
        args: The command line after the program; that of the process if None.
        short: Whether the flags of `robust train` say how to go on.
    """

    _printed = False
    _made: Sequence[Path] = ()
    """Folders that this command made."""

    def __init__(self, args: Sequence[str] | None = None, *, short: bool = False) -> None:
        self._flags = "--id={} --resume=auto" if short else "--run.id={} --run.resume=auto"
        # To make the parsers of all three takes as long as to parse the one.
        self._asked = next(iter(sys.argv[1:] if args is None else args), None)
        super().__init__(
            Defense,
            ImageDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveRunConfig,
            seed_everything_default=0,
            parser_class=Parser,
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
        """`fit`, `validate` and `test`; nobody can turn off the safe reading of checkpoints."""
        commands = LightningCLI.subcommands()
        return {name: commands[name] | {"weights_only"} for name in ("fit", "validate", "test")}

    def _prepare_subcommand_parser(
        self,
        klass: type,
        subcommand: str,
        **kwargs: Any,  # noqa: ANN401
    ) -> LightningArgumentParser:
        """The parser of a subcommand; one without arguments if another one was asked for."""
        if self._asked in self.subcommands() and self._asked != subcommand:
            return self.init_parser(**kwargs)
        return super()._prepare_subcommand_parser(klass, subcommand, **kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the suite of attacks and the run's name."""
        parser.epilog = TRUST_HELP
        parser.add_lightning_class_args(evaluation_class(), "evaluation")
        parser.add_class_arguments(Run, "run")

    def _parse_ckpt_path(self) -> None:
        """Read the checkpoint to go on from, where Lightning would look for hyperparameters."""
        command = self.config.subcommand
        config = self.config[command]
        run = Run(**config.run.as_dict())
        given = config.get("ckpt_path")
        if run.resume == "auto" and (not given or (command == "fit" and run.has_id)):
            found = run.checkpoint(_default_name(config))
            if found is not None:
                config.ckpt_path = str(found)
        if command != "fit" and not config.get("ckpt_path"):
            raise ConfigError(
                f"Expected `--ckpt_path` with the weights to {command}, but got none, which would "
                f"{command} an untrained network. Name runs/<name>/<id>/checkpoints/last.ckpt."
            )
        ckpt_path = config.get("ckpt_path")
        if ckpt_path and Path(str(ckpt_path)).is_dir():
            raise ConfigError(
                f"Expected `--ckpt_path` to be a checkpoint, but got the folder {ckpt_path}. Name "
                "<folder of a run>/checkpoints/last.ckpt."
            )
        self.checkpoint = read_checkpoint(ckpt_path) if ckpt_path else None

    def before_instantiate_classes(self) -> None:
        """Settle the run's folder: a new one, or that of the checkpoint to go on from."""
        config = self.config[self.subcommand]
        _check_attacks(config.evaluation)
        run = Run(**config.run.as_dict())
        ckpt_path = config.get("ckpt_path")
        earlier = Run.from_checkpoint(ckpt_path) if ckpt_path and run.id is None else None
        if earlier is not None:
            run = replace(run, name=earlier.name, id=earlier.id, root=earlier.root)
        self.run = run.settled(_default_name(config))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401
        """Give the trainer the run's folder and loggers, unless it was told its own."""
        # Before there is a run folder, and before other processes would say the same.
        data = self.datamodule
        self.model.check_fit(data.shape, data.num_classes, data.name)
        if self.subcommand == "fit":
            self.model.check_training(data.shape, data.name, data.batch_size)
        if self.checkpoint is not None:
            path = self._get(self.config, "ckpt_path")
            check_fits(self.checkpoint, path, self.model, training=self.subcommand == "fit")
            if self.subcommand == "test":
                evaluation = self._get(self.config_init, "evaluation")
                noted = evaluation.replaced(notes=notes_of(self.checkpoint))
                self.config_init[self.subcommand]["evaluation"] = noted
            self.checkpoint = None  # Lightning reads it again, and memory for one is enough
        trainer = self._get(self.config_init, "trainer")
        check_trainer(trainer)
        own_loggers = trainer.get("logger") in (None, True) and not trainer.get("fast_dev_run")
        if trainer.get("logger") in (None, True):
            kwargs["logger"] = False  # they make the run's folder, so only when all is checked
        kwargs["plugins"] = plugins(trainer.get("plugins"))
        if trainer.get("default_root_dir") is None:
            kwargs["default_root_dir"] = str(self.run.folder)
        preemption = Preemption(self.run.folder, self._flags)
        self.trainer_defaults["callbacks"] = [*_callbacks(trainer), preemption]
        with user_errors():
            built = super().instantiate_trainer(**kwargs)
        check_processes(built)
        check_strategy(built)
        preemption.listen(built)
        if own_loggers:
            self._made = self.run.missing_folders()
            built.loggers = loggers(self.run, self._label())
        if self.subcommand == "fit" and built.is_global_zero and not trainer.get("fast_dev_run"):
            best = any(
                isinstance(callback, BestCheckpoint) for callback in built.checkpoint_callbacks
            )
            self.run.set_checkpoints_aside(self._get(self.config, "ckpt_path"), best=best)
        if built.precision.startswith("bf16"):
            warn_if_emulated(
                built.strategy.root_device, "Train with `--trainer.precision=32-true`."
            )
        return built

    def _label(self) -> Label:
        """What W&B calls this run."""
        assert self.run.name is not None
        config = self.config[self.subcommand].as_dict()
        return label_of(self.run.name, config, swept_keys())

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Arguments of `Trainer.fit` and its like; no checkpoint is unpickled as code."""
        own: dict[str, Any] = {"weights_only": True}
        if subcommand == "test":
            own["verbose"] = False  # our table says it
        return {**super()._prepare_subcommand_kwargs(subcommand), **own}

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; if a test fails, what it has found until then is printed before the error.

        What Lightning refuses before the first step leaves no folder.
        """
        try:
            with failures_told(self.trainer, self.model):
                super()._run_subcommand(subcommand)
        except Exception as error:
            self._print_tables()
            refused = isinstance(error, ConfigError | MisconfigurationException | ValueError)
            if refused and self.trainer.global_step == 0:
                remove_unused(self._made)
            raise

    def after_fit(self) -> None:
        """Test at once: one command gives one answer, clean accuracy and that under the suite."""
        if not self._get(self.config_init, "trainer").fast_dev_run:
            best = BestCheckpoint.find_in(self.trainer)
            self._check_trained(best)
            self.trainer.test(
                self.model,
                datamodule=self.datamodule,
                ckpt_path=best.best_model_path if best else None,
                verbose=False,
                weights_only=True,
            )
            self.after_test()
            if best and self.trainer.is_global_zero:
                print(f"Tested: {best}")

    def _check_trained(self, best: BestCheckpoint | None) -> None:
        """Refuse to test a network that diverged; what the training kept stays where it is."""
        if best is None:
            check_finite(self.model.state_dict(), "the trained network")
        else:
            check_finite(read_checkpoint(best.best_model_path)["state_dict"], BEST)

    def after_test(self) -> None:
        """Print the table of this run, and give W&B what evaluations need of it."""
        self._print_tables()
        with Figures().step("What W&B is given of this run"):
            log_run(self.trainer.loggers, self.run)
        if self.trainer.is_global_zero:
            print(f"Files of this run: {printable(self.trainer.default_root_dir)}")

    def _print_tables(self) -> None:
        """Print what was attacked and measured, once."""
        if self.trainer.is_global_zero and not self._printed:
            self._printed = True
            evaluation = self._get(self.config_init, "evaluation")
            name = f"{self.run.name}/{self.run.id}"
            _print_tables(name, evaluation)
            clean = self.trainer.callback_metrics.get("test/clean_acc")
            if evaluation.evaluated is None and clean is not None:
                print(f"{name}: clean accuracy {100 * float(clean):.1f} %. Nothing was attacked.")


def _check_attacks(evaluation: Namespace) -> None:
    """Raise if a file that should be a suite has no attacks, and nobody else named any."""
    file = evaluation.get("__path__")
    if file is None or evaluation.attacks:
        return
    content = read(file.absolute)
    if not isinstance(content, Mapping) or "attacks" not in content:
        raise missing_attacks(content or {}, file)


def _print_tables(name: str, evaluation: AttackEvaluation) -> None:
    if evaluation.evaluated is not None:
        comparison({name: evaluation.evaluated}).print()
    else:
        for note in evaluation.notes:
            print(f"{name}: {note}")
    measured = evaluation.robustness
    if measured is not None and measured.result is not None:
        measured.table({name: measured.result}).print()


def train(args: Sequence[str] | None = None, *, short: bool = False) -> int:
    """Train, validate or test as `train.py` does, and return the exit code.

    Args:
        args: The command line after the program; that of the process if None.
        short: Whether it was `robust train`, which has short flags of its own.
    """
    return run_command(lambda: _train(args, short=short))


def _train(args: Sequence[str] | None, *, short: bool) -> None:
    trusted, others = taken(sys.argv[1:] if args is None else args)
    with trusting([*trusted, *typed(others)]):
        check_arguments(others)
        others = with_paths(others)
        check_files(others)
        if args is None:
            sys.argv[1:] = others
        try:
            RobustCLI(None if args is None else others, short=short)
        finally:
            run_lock.release()


def train_here(args: Sequence[str]) -> None:
    """Train within another command, which handles errors and signals.

    Args:
        args: As `train` takes them.
    """
    _train(args, short=False)


def _default_name(config: Namespace) -> str:
    """Of a run: the stem of its config file."""
    paths = [Path(str(path)) for path in config.get("config") or []]
    return paths[-1].stem if paths else "run"


def _callbacks(trainer: Namespace) -> list[Callback]:
    """A progress bar and a checkpoint, unless the trainer was told to have none or its own."""
    callbacks: list[Callback] = [TrainingSeconds(), TrainingAccuracy()]
    given = trainer.get("callbacks") or []
    own = [type(callback) for callback in (given if isinstance(given, list) else [given])]
    if trainer.get("enable_progress_bar") is not False:
        callbacks.append(progress_bar())
    if trainer.get("enable_checkpointing") is not False and ModelCheckpoint not in own:
        # Most papers report the last epoch. One file, overwritten atomically after every epoch.
        callbacks.append(ModelCheckpoint(filename=Path(LAST).stem, enable_version_counter=False))
    return callbacks
