"""Defensive distillation is that of Papernot et al. 2016, https://arxiv.org/abs/1511.04508.

As Tuna et al. 2022 (https://arxiv.org/abs/2202.07342, section II-B) train and attack it.
"""

import copy
from typing import final

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from robust.attacks.views import Rescale
from robust.defenses.base import Defense, check_temperature
from robust.defenses.crafting import load_network
from robust.errors import ConfigError
from robust.types import Images, Labels, Scalar


@final
class Distillation(Defense):
    """A student is trained on a teacher's soft labels at temperature T, and deployed without T.

    One `fit` trains both, one after the other. The network learns the labels at temperature T for
    ``teacher_epochs``. Then it is copied into the frozen teacher, and its weights are initialized
    again. It learns the teacher's softmax at T for the epochs that remain. Teacher and student
    share an architecture, as in both papers. A scheduler runs once over all epochs; the optimizer's
    state starts again.

    Examples:
        >>> defense = robust.Distillation(robust.MLP(), teacher_epochs=10)
        >>> defense(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        network: Architecture of teacher and student: images to logits of shape (N, K).
        temperature: T, positive; 20 for MNIST and 50 for CIFAR-10 in Tuna et al. (Table VI).
        teacher_epochs: Epochs of the teacher; half of the trainer's ``max_epochs`` if None.
        teacher: Checkpoint whose network is the teacher; `fit` then trains the student alone.
        transform: Input transform; the identity if None.
        optimizer: Builds the optimizer.
        scheduler: Builds a learning-rate scheduler.

    Raises:
        ConfigError: If ``temperature`` is not positive, or ``teacher_epochs`` is below 1 or leaves
            no epoch for the student. If ``teacher`` is not a checkpoint of the same architecture.
    """

    def __init__(
        self,
        network: nn.Module,
        temperature: float = 20.0,
        teacher_epochs: int | None = None,
        teacher: str | None = None,
        transform: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(network, transform, optimizer, scheduler)
        self.temperature = check_temperature(temperature)
        if teacher_epochs is not None and teacher is not None:
            raise ConfigError(
                "Expected `teacher_epochs` or `teacher`, but got both. A teacher that is given is "
                "not trained."
            )
        if teacher_epochs is not None and teacher_epochs < 1:
            raise ConfigError(
                f"Expected `teacher_epochs` to be at least 1, but got {teacher_epochs}. Give a "
                "checkpoint as `teacher` to train none."
            )
        self.teacher_epochs = teacher_epochs
        self._given_teacher = teacher  # not public: what is deployed does not depend on its path
        self.teacher = copy.deepcopy(network).requires_grad_(False)
        # In the checkpoint, so that a resume in the student's first epoch does not hand over twice.
        self.has_teacher: Tensor
        self.register_buffer("has_teacher", torch.tensor(False))

    @property
    def is_deployable(self) -> bool:
        """Whether the student is there; until then the network is the teacher."""
        return bool(self.has_teacher)

    @property
    def student_starts(self) -> int:
        """The first epoch of the student."""
        if self._given_teacher is not None:
            return 0
        if self.teacher_epochs is not None:
            return self.teacher_epochs
        return (self.trainer.max_epochs or 0) // 2

    def on_fit_start(self) -> None:
        """Load a teacher that is given; check that both networks get their epochs."""
        if self._given_teacher is not None:
            load_network(self.teacher, self._given_teacher, "teacher")
            self.has_teacher.fill_(True)
            return
        epochs = self.trainer.max_epochs or 0
        if not 1 <= self.student_starts < epochs:
            raise ConfigError(
                f"Expected `trainer.max_epochs` to leave epochs for teacher and student, but got "
                f"{epochs} of which the teacher takes {self.student_starts}. Raise "
                "`trainer.max_epochs`."
            )

    def on_train_epoch_start(self) -> None:
        """Hand over from teacher to student when the teacher's epochs are done."""
        if self.current_epoch >= self.student_starts and not self.has_teacher:
            self.has_teacher.fill_(True)
            self.teacher.load_state_dict(self.network.state_dict())
            # A seed of its own, so that all processes of a distributed run start the same student.
            with torch.random.fork_rng():
                torch.manual_seed(torch.initial_seed() + 1)
                self.network.apply(_restart)
            for optimizer in self.trainer.optimizers:
                optimizer.state.clear()

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Return the cross-entropy at T to the labels, or for the student to the soft labels."""
        logits = self.outputs(x) / self.temperature
        if not self.has_teacher:
            return F.cross_entropy(logits, y)
        with torch.no_grad():
            soft = self.teacher.eval()(self.transform(x)) / self.temperature
        return F.cross_entropy(logits, soft.softmax(dim=1))

    def adaptive_view(self) -> nn.Module:
        """Return the logits divided by T and kept from saturating cross-entropy."""
        return Rescale(self.outputs_view(), self.temperature)


def _restart(module: nn.Module) -> None:
    # PyTorch's convention for every layer that has weights or running statistics.
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
