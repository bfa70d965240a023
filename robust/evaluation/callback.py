"""Attack evaluation as a Lightning callback: the test loop ends with a suite of attacks."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, final, get_args

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from torch import Tensor, nn

from robust.attacks import craft, sample_seeds
from robust.data import ImageDataModule
from robust.defenses.base import Defense
from robust.errors import ConfigError
from robust.evaluation.checks import has_tie, has_zero_gradient
from robust.evaluation.fingerprints import model_sha256
from robust.evaluation.metrics import summarize
from robust.evaluation.records import AttackInfo, Evaluation, Header, RecordFile, Row, Target
from robust.evaluation.suite import datamodule_of, plan, random_targets, subject_of
from robust.threat import ThreatModel, distance
from robust.tracking import log_adversarial_table
from robust.types import AttackCallable, Batch, Images, Labels, Norm, Scores, View


class _Block(NamedTuple):
    """Test samples on the defense's device, with its clean scores."""

    x: Images
    y: Labels
    index: Labels  # type: ignore[assignment] # a column, not tuple's method
    scores: Scores


class _Produced(NamedTuple):
    """Rows of one attack on one block, once for each of the views that are one module."""

    views: list[str]
    attack: str
    rows: list[Row]
    x_adv: Images


@final
class AttackEvaluation(Callback):
    """Attacks the test set through each view, scores on the defense, and keeps records.

    Only correctly classified samples are attacked, and for a targeted attack only those of another
    class than the target. Samples are crafted in fixed blocks, each with a seed of its own, so the
    records do not depend on the batch size or the number of devices. An evaluation that was
    interrupted goes on where it stopped, and one that is on record already is not run again.

    Args:
        suite: Name of the suite, in the names of its record files.
        attacks: Attacks by name.
        threat_model: What the attacks may do, unless `threat_models` says otherwise.
        threat_models: Threat models of single attacks, by their names.
        targets: Target classes of the targeted attacks, by their names; ``random`` draws for each
            image one of the others, the same in all attacks that have it.
        views: What the attacks differentiate.
        limit: Number of test samples, from the first; all if None.
        block: Samples crafted together; a bound on memory, and part of the protocol.
        seed: Seeds every attack, together with its name and the block.
        examples: Adversarial images per view and attack that go to W&B.
        records: Folder of the record files; ``records`` in the run's folder if None.

    Raises:
        ConfigError: If the suite does not hold together (see `plan`), or a number is out of range.
    """

    def __init__(
        self,
        suite: str = "none",
        attacks: dict[str, AttackCallable] | None = None,
        threat_model: ThreatModel = ThreatModel(),  # noqa: B008 (frozen)
        threat_models: dict[str, ThreatModel] | None = None,
        targets: dict[str, Target] | None = None,
        views: Sequence[View] = ("deployed", "adaptive"),
        limit: int | None = 1000,
        block: int = 250,
        seed: int = 0,
        examples: int = 4,
        records: str | None = None,
    ) -> None:
        for name, value in (("limit", limit), ("block", block)):
            if value is not None and value < 1:
                raise ConfigError(f"Expected `{name}` to be at least 1, but got {value}.")
        self.suite = suite
        self.attacks = attacks or {}
        self.infos = plan(self.attacks, threat_model, threat_models or {}, targets or {})
        self.views = list(views)
        self.limit, self.block, self.seed, self.examples = limit, block, seed, examples
        self.records = records
        self.source: Defense | None = None
        """A net to craft on instead: a transfer attack."""
        self.result: Evaluation | None = None
        """Records of the last test, on every process."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check what can be checked before a run, rather than after its hours."""
        if not self.attacks:
            return
        data = datamodule_of(trainer)
        for name, info in self.infos.items():
            if isinstance(info.target, int) and not 0 <= info.target < data.num_classes:
                raise ConfigError(
                    f"Expected the target of attack `{name}` to be one of the "
                    f"{data.num_classes} classes of {data.name}, but got {info.target}."
                )

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run the suite, or what of it is not on record yet, and log its numbers."""
        if not self.attacks:
            return
        defense, data = subject_of(trainer, pl_module)
        header = self._header(defense, data)
        folder = Path(self.records or Path(trainer.log_dir or ".") / "records")
        file = RecordFile(folder, header, trainer.global_rank)
        known = Evaluation(header, file.read())
        trainer.strategy.barrier("records read")
        for block, produced in self._blocks(trainer, defense, data, known):
            file.append(produced.rows)
            _show(trainer, f"{self.suite}: {produced.attack}, image {block.index[-1] + 1}")
            if block.index[0] == 0:
                self._log_examples(trainer, block, produced)
        trainer.strategy.barrier("records written")
        rows = file.read()
        trainer.strategy.barrier("records read again")
        if trainer.is_global_zero:
            file.merge(rows)
        self.result = Evaluation(header, rows).first(self._count(data))
        pl_module.log_dict(summarize(self.result), sync_dist=True)

    def _header(self, defense: Defense, data: ImageDataModule) -> Header:
        source = self.source
        return Header(
            suite=self.suite,
            attacks=self.infos,
            seed=self.seed,
            block=self.block,
            data=data.name,
            data_sha256=data.fingerprint(data.test_size),
            model_sha256=model_sha256(defense),
            adaptive_sha256=model_sha256((source or defense).adaptive_view()),
            source_sha256=None if source is None else model_sha256(source),
        )

    def _count(self, data: ImageDataModule) -> int:
        return data.test_size if self.limit is None else min(self.limit, data.test_size)

    def _views(self, defense: Defense) -> dict[tuple[nn.Module, Defense | None], list[str]]:
        """The modules to attack and their judges, each with the names of the views that it is."""
        if self.source is not None:
            return {(self.source.to(defense.device).adaptive_view(), None): ["transfer"]}
        views: dict[tuple[nn.Module, Defense | None], list[str]] = {}
        for name in self.views:
            module = defense.view(name)
            # A paper's attacker judged by what they saw.
            judge = None if module is defense or name == "published" else defense
            views.setdefault((module, judge), []).append(name)
        return views

    def _blocks(
        self, trainer: Trainer, defense: Defense, data: ImageDataModule, known: Evaluation
    ) -> Iterator[tuple[_Block, _Produced]]:
        """This process's share of what is not on record yet, one attack on one block at a time."""
        done = {row[:3] for row in known.rows}
        starts = range(0, self._count(data), self.block)
        for start in starts[trainer.global_rank :: trainer.world_size]:
            stop = min(start + self.block, self._count(data))
            block = _score(defense, data.test_samples(start, stop))
            for (module, judge), views in self._views(defense).items():
                missing = [
                    name
                    for name in self.attacks
                    if any((v, name, i) not in done for v in views for i in range(start, stop))
                ]
                zero = has_zero_gradient(module, block.x, block.y) if missing else None
                for name in missing:
                    columns, x_adv = self._attack(defense, module, judge, name, block)
                    columns["zero_gradient"] = zero
                    rows = [row for view in views for row in _rows(view, name, columns)]
                    yield block, _Produced(views, name, rows, x_adv)

    @torch.no_grad()
    def _attack(
        self,
        defense: Defense,
        module: nn.Module,
        judge: Defense | None,
        name: str,
        block: _Block,
    ) -> tuple[dict[str, Any], Images]:
        info = self.infos[name]
        x, y, clean = block.x, block.y, block.scores.argmax(dim=1)
        target = self._targets(info, block)
        attacked = (clean == y) & (y != target)
        crafted = craft(
            self.attacks[name],
            module,
            x[attacked],
            y[attacked],
            target=None if info.target is None else target[attacked],
            seed=_seed(self.seed, name, int(block.index[0])),
            sample_seeds=sample_seeds(_seed(self.seed, name), block.index[attacked]),
            judge=judge,
            transferred=self.source is not None,
        )
        info.threat_model.check(x[attacked], crafted.x_adv, name, budget=not info.minimal)
        x_adv, scores = x.clone(), block.scores.clone()
        x_adv[attacked] = crafted.x_adv.to(x.dtype)
        scores[attacked] = defense(x_adv[attacked])
        columns = {
            "index": block.index,
            "label": y,
            "target": target,
            "attacked": attacked,
            "clean_pred": clean,
            "adv_pred": scores.argmax(dim=1),
            "clean_tie": has_tie(block.scores),
            "adv_tie": has_tie(scores),
            **{norm.lower(): distance(x, x_adv, norm) for norm in get_args(Norm)},
            "forwards": attacked * crafted.forwards,
            "seconds": attacked * crafted.seconds,
        }
        return columns, x_adv

    def _targets(self, info: AttackInfo, block: _Block) -> Labels:
        """The class that each image shall become; -1 if untargeted."""
        if info.target == "random":
            # Not of the attack's name: one target an image.
            seeds = sample_seeds(_seed(self.seed), block.index)
            return random_targets(seeds, block.y, block.scores.shape[1])
        return torch.full_like(block.y, -1 if info.target is None else info.target)

    def _log_examples(self, trainer: Trainer, block: _Block, produced: _Produced) -> None:
        rows = produced.rows[: len(block.y)]
        chosen = [i for i, row in enumerate(rows) if row.attacked][: self.examples]
        if not chosen:
            return
        for view in produced.views:
            log_adversarial_table(
                trainer.loggers,
                view,
                produced.attack,
                block.x[chosen],
                produced.x_adv[chosen],
                block.y[chosen],
                torch.tensor([rows[i].clean_pred for i in chosen]),
                torch.tensor([rows[i].adv_pred for i in chosen]),
            )


def _rows(view: str, attack: str, columns: dict[str, Tensor]) -> Iterator[Row]:
    values = {key: column.tolist() for key, column in columns.items()}
    for i in range(len(values["index"])):
        yield Row(view=view, attack=attack, **{key: column[i] for key, column in values.items()})


@torch.no_grad()
def _score(defense: Defense, batch: Batch) -> _Block:
    x, y, index = (part.to(defense.device) for part in batch)
    return _Block(x, y, index, defense(x))


def _show(trainer: Trainer, text: str) -> None:
    """Say in the progress bar, if there is one, what an evaluation of minutes is doing."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, RichProgressBar) and bar.progress is not None:
        for task in bar.progress.tasks:
            bar.progress.update(task.id, description=text)
        bar.refresh()


def _seed(*parts: int | str) -> int:
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:7], "big")
