"""Attack evaluation as a Lightning callback: the test loop ends with a suite of attacks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.seed import isolate_rng

from robust.attacks import isolated
from robust.attacks.adaptive.search import Found
from robust.checkpoints import UNTRAINED
from robust.data.module_arguments import usual_batch
from robust.data.of_trainer import required_image_module
from robust.defenses.adapting.loaders import Normalization
from robust.defenses.adapting.of_trainer import check_normalization, tested, validated
from robust.defenses.base import Defense
from robust.defenses.tested import defense_and_data
from robust.errors import ConfigError, check_at_least
from robust.evaluation.attacked_images import AttackedImages
from robust.evaluation.blocks import (
    Block,
    Produced,
    attacked,
    complete,
    is_robust,
    log_examples,
    passed,
    rows_of,
    score,
    view_and_judge,
    views_of,
)
from robust.evaluation.checks import check_suite, check_validation, check_view, name_of_data
from robust.evaluation.evidence.stage import Stage
from robust.evaluation.headers import header_of
from robust.evaluation.kept.images import KeptImages
from robust.evaluation.masking_signs import gradient_signs
from robust.evaluation.progress import Attacking, gathered, searched
from robust.evaluation.suite import Suite
from robust.measures.measurements import RobustnessMetrics
from robust.measures.unit_test.layers import layer_named
from robust.results.evidence.verdict_tags import tags_of
from robust.results.metrics import Rate, rate_numbers, summarize
from robust.results.record_files import RecordFile
from robust.results.records import Evaluation
from robust.results.result import Result
from robust.tracking import log_verdict, patient_barrier
from robust.tracking.progress import Display, Steps, beating, shown
from robust.types import Batch, View
from robust.vocabulary import AskedEvidence


@final
class AttackEvaluation(Callback):
    """Attacks the test set through each view, scores on the defense, and keeps records.

    With `every_n_epochs` it also attacks some validation images during the training, and logs the
    worst case. Nothing of that is kept, and the training is the same with and without it.

    Only correctly classified samples are attacked, and for a targeted attack only those of another
    class than the target. Samples are crafted in fixed blocks, each with a seed of its own. So the
    records depend neither on the batch size nor on the number of processes: bit for bit on CPUs of
    one kind with as many threads a process, and on equal GPUs where their kernels are
    deterministic. Elsewhere float32 rounds otherwise, to about 1e-6 of a score. An image that an
    attack leaves that close to a boundary may end on its other side. An evaluation that was
    interrupted goes on from there, and one that is on record already is not run again.

    Examples:
        >>> suite = robust.Suite("mine", {"pgd": robust.attacks.PGD}, limit=20)
        >>> evaluation = robust.AttackEvaluation(suite, examples=0)
        >>> evaluation.result is None  # until a test of Lightning's Trainer has run it
        True

    Args:
        suite: What is attacked, and how.
        records: Folder of the record files; ``records`` in the run's folder if None.
        examples: Adversarial images per view and attack that go to W&B.
        every_n_epochs: Validation after every so many epochs, and after the last, logs the worst
            case of the suite as ``val/worst_robust_acc/<view>``. The view is the adaptive one if
            it is among the suite's, and the deployed one otherwise. Never if 0.
        val_limit: Number of validation images for that, from the first.
        robustness: Whether a test also measures `RobustnessMetrics`, of the same images and views.
        notes: What a reader of the records has to know of the weights, as sentences.
        mean: Of the normalization in the loader of a module that is no `Defense`: one number a
            channel, or one for all. Its images are attacked as pixels. None if they are in [0, 1].
        std: As ``mean``.
        search: Whether a test looks for further views that the adaptive one then has, too.
        evidence: How much a test tries to see whether the attacks would have found what is there.
            Nothing if None, which a command may replace by its own default.
        features: Layer of the network whose input are the features of the attack unit test; the
            last linear one if None.

    Raises:
        ConfigError: If a number is out of range, one of mean and std is given alone, or there are
            no attacks to run every few epochs.
    """

    def __init__(
        self,
        suite: Suite,
        *,
        records: str | None = None,
        examples: int = 4,
        every_n_epochs: int = 0,
        val_limit: int = 100,
        robustness: bool = False,
        notes: Sequence[str] = (),
        mean: Any = None,  # noqa: ANN401
        std: Any = None,  # noqa: ANN401
        search: bool = False,
        evidence: AskedEvidence | None = None,
        features: str | None = None,
    ) -> None:
        check_at_least("val_limit", val_limit, 1)
        check_at_least("every_n_epochs", every_n_epochs, 0)
        if every_n_epochs and not suite.attacks:
            raise ConfigError(
                "Expected attacks to run every so many epochs, but got none. Give a suite, or set "
                "`evaluation.every_n_epochs` to 0."
            )
        self._asked, self.records, self.examples = suite, records, examples
        self.suite = suite
        """What is attacked, and how; from the setup on within the eps of the data set."""
        self.every_n_epochs, self.val_limit = every_n_epochs, val_limit
        self.robustness = (
            RobustnessMetrics(suite.limit, suite.views, suite.block) if robustness else None
        )
        """Measured beside the attacks; it keeps its own result."""
        self.evaluated: Evaluation | None = None
        """Records of the last test, on every process."""
        self.result: Result | None = None
        """What `robust.evaluate` returns for them."""
        self._notes, self._untrained = list(notes), False
        self._normalization = Normalization(mean, std).checked()
        self.search, self.evidence, self.features = search, evidence, features

    def replaced(
        self,
        *,
        suite: Suite | None = None,
        records: str | None = None,
        notes: Sequence[str] | None = None,
        search: bool | None = None,
        evidence: AskedEvidence | None = None,
        features: str | None = None,
    ) -> "AttackEvaluation":
        """Return an evaluation that has not run yet, with some arguments replaced.

        Args:
            suite: Another suite; its own if None.
            records: Another folder of records; its own if None.
            notes: Other notes; its own if None.
            search: Whether to look for views; as it does if None.
            evidence: How much is tried; as it does if None.
            features: Another layer; its own if None.
        """
        return AttackEvaluation(
            self._asked if suite is None else suite,
            records=self.records if records is None else records,
            examples=self.examples,
            every_n_epochs=self.every_n_epochs,
            val_limit=self.val_limit,
            robustness=self.robustness is not None,
            notes=self._notes if notes is None else notes,
            mean=self._normalization.mean,
            std=self._normalization.std,
            search=self.search if search is None else search,
            evidence=self.evidence if evidence is None else evidence,
            features=self.features if features is None else features,
        )

    @property
    def block(self) -> int:
        """Number of images that are crafted together."""
        return self.suite.block

    @property
    def limit(self) -> int | None:
        """Number of images, from the first; all if None."""
        return self.suite.limit

    @property
    def notes(self) -> list[str]:
        """They say what a reader of the records has to know of the weights."""
        return [*self._notes, *([UNTRAINED] if self._untrained else [])]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember a training that took no step."""
        self._untrained = trainer.global_step == 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check what can be checked before a run, rather than after its hours."""
        check_normalization(trainer, pl_module, self._normalization)
        if self.robustness is not None:
            defense_and_data(trainer, pl_module)
        if not self.suite.attacks:
            return
        with isolate_rng():  # attacks are built to be checked, and a training may follow
            self.suite = self._asked.on(name_of_data(trainer))
        if stage == "fit" and self.every_n_epochs:
            check_validation(trainer)
        if isinstance(pl_module, Defense):
            check_suite(self.suite, required_image_module(trainer, "test samples"))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the worst case of the first validation images, if it is time."""
        if not self._is_due(trainer):
            return
        defense, batch = validated(trainer, pl_module, self._normalization, self.val_limit)
        view: View = "adaptive" if "adaptive" in self.suite.views else "deployed"
        steps = Steps(f"Epoch {trainer.current_epoch + 1}, {self.suite.name}: {view}")
        with (
            shown(trainer) as display,
            display.of(steps.status),
            beating([defense], steps.beat),
            isolated(defense, defense.device, self.suite.seed),
        ):
            rate = self._worst_case(trainer, defense, batch, view)
        numbers = rate_numbers({f"val/worst_robust_acc/{view}": rate})
        pl_module.log_dict(numbers, sync_dist=True)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run the suite, or what of it is not on record yet, and log its numbers."""
        if self.suite.attacks:
            self._attack_and_log(trainer, pl_module)
        if self.robustness is not None:  # after the attacks, which it then cannot cost
            self.robustness.on_test_epoch_end(trainer, pl_module)

    def _attack_and_log(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found = tested(trainer, pl_module, self._normalization, self.suite.limit)
        defense, data = found.defense, found.data
        check_suite(self.suite, data)
        images = AttackedImages(data, self.suite.split, self.suite.seed)
        with shown(trainer) as display:
            views = None
            if self.search:
                views = searched(self.suite, trainer, defense, images, display)
            header = header_of(self.suite, trainer, defense, images, views)
            if not header.random and self.suite.source is None:
                check_view(self.suite, defense, images)
            if self.features is not None:
                layer_named(defense, self.features)  # before hours of attacks
            folder = Path(self.records or Path(trainer.log_dir or ".") / "records")
            told = [] if views is None else views.notes
            classes, notes = data.num_classes, [*self.notes, *found.notes, *told]
            file = RecordFile(folder, header, trainer.global_rank, classes, notes)
            kept = KeptImages(file.path, header, trainer.global_rank)
            known = Evaluation(header, file.read())
            trainer.strategy.barrier("records read")
            records_written = patient_barrier()
            for block, produced in self._blocks(trainer, defense, images, known, views, display):
                file.append(produced.rows)
                kept.add(defense, block, produced)
                if block.index[0] == 0:
                    log_examples(trainer, block, produced, self.examples)
            records_written()
            evidence_written = patient_barrier()
            rows = file.read()
            trainer.strategy.barrier("records read again")
            asked = self.suite.views if self.suite.source is None else ["transfer"]
            count = images.at_most(self.suite.limit)
            evaluation = complete(Evaluation(header, rows, [*notes, *file.notes]), asked, count)
            if trainer.is_global_zero:
                if self.evidence in ("quick", "full") and self.suite.source is None:
                    stage = Stage(self.suite, defense, images, views, self.evidence, self.features)
                    file.evidence = gathered(stage, evaluation, file.evidence, display)
                file.kept = kept.merge(file.kept)  # first, since the header names it
                file.merge()
            evidence_written()
        evaluation.evidence = file.kept_evidence()
        self.evaluated = evaluation
        self.result = Result(type(pl_module).__name__, self.evaluated, classes)
        pl_module.log_dict(summarize(self.evaluated), sync_dist=True)
        verdict = self.result.verdict
        log_verdict(trainer.loggers, verdict.word, verdict.reason, tags_of(self.evaluated))

    def _is_due(self, trainer: Trainer) -> bool:
        if not self.every_n_epochs or trainer.sanity_checking:
            return False
        epoch = trainer.current_epoch + 1
        last = trainer.state.fn != TrainerFn.FITTING or epoch == trainer.max_epochs
        return last or epoch % self.every_n_epochs == 0

    def _worst_case(self, trainer: Trainer, defense: Defense, batch: Batch, view: View) -> Rate:
        """Worst case over the suite, on all processes together; what is misclassified leaves."""
        module, judge = view_and_judge(defense, view)
        robust = 0
        size = min(self.suite.block, usual_batch(batch.x.shape[1:]))
        starts = range(0, len(batch.y), size)
        for start in starts[trainer.global_rank :: trainer.world_size]:
            part = Batch(*(column[start : start + size] for column in batch))
            block = score(defense, part)
            block = block.at(block.scores.argmax(dim=1) == block.y)
            for name, info in self.suite.infos.items():
                if len(block.y):
                    columns, _ = attacked(self.suite, defense, (module, judge), name, block)
                    block = block.at(is_robust(info, columns))
            robust += len(block.y)
        mine = torch.tensor(float(robust), device=defense.device)
        return Rate(int(trainer.strategy.reduce(mine, reduce_op="sum")), len(batch.y))

    def _blocks(
        self,
        trainer: Trainer,
        defense: Defense,
        images: AttackedImages,
        known: Evaluation,
        found: Found | None,
        display: Display,
    ) -> Iterator[tuple[Block, Produced]]:
        """This process's share of what is not on record yet, one attack on one block at a time."""
        count, size = images.at_most(self.suite.limit), known.header.block
        starts = range(0, count, size)[trainer.global_rank :: trainer.world_size]
        share = [range(start, min(start + size, count)) for start in starts]
        named = list(views_of(self.suite, defense, found).values())
        work = Attacking(self.suite, named, share, known, trainer.world_size)
        with display.of(work.parts.status):
            for indices in share:
                block = score(defense, images.samples(indices.start, indices.stop))
                for (module, judge), views in views_of(self.suite, defense, found).items():
                    missing = work.missing(views, indices)
                    if missing:
                        zero, not_finite = gradient_signs(module, block.x, block.y)
                    for name in missing:
                        calls = known.header.judged
                        through = module, judge
                        with (
                            work.attack(views, name, block) as columns,
                            beating(passed(module, judge), work.parts.beat),
                        ):
                            made, x_adv = attacked(self.suite, defense, through, name, block, calls)
                            columns |= made
                        columns["zero_gradient"] = zero | not_finite
                        columns["not_finite"] |= not_finite
                        rows = [row for view in views for row in rows_of(view, name, columns)]
                        yield block, Produced(views, name, rows, x_adv)
