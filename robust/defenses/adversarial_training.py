"""Adversarial training is that of Madry et al. 2018, https://arxiv.org/abs/1706.06083.

With a `source`, as Zantedeschi et al. 2017 (https://arxiv.org/abs/1707.06728) compare with it.
"""

import copy
from typing import cast, final

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from robust.attacks import PGD
from robust.attacks.norms import check_attack_radius
from robust.defenses.crafting import AdversarialCache, CraftingDefense, load_network
from robust.errors import ConfigError
from robust.types import AttackCallable, Images, Labels, Scalar


@final
class AdversarialTraining(CraftingDefense):
    """Each batch is trained on together with its adversarial images, or on these alone.

    Without a ``source``, the attack runs on the network as it is at that step, with the true
    labels. With PGD and ``clean_share`` 0 that is the saddle point of Madry et al. (Eq. 2.1).

    With a ``source``, it runs on that fixed network, with the classes that it predicts for labels.
    It makes the same image in every epoch, which is kept in memory (see `AdversarialCache`). The
    training has the true labels. That is the static set that Zantedeschi et al. append once to the
    training data. The one difference is which images share a batch: here it holds each image
    together with its copy. Half of the paper's ``batch_size`` gives its number of images in a step
    and steps in an epoch.

    Examples:
        >>> defense = robust.AdversarialTraining(robust.MLP())
        >>> defense(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        network: Images to logits of shape (N, K).
        attack: Builds the attack on the network; an untargeted one.
        source: Checkpoint of an undefended network of the same architecture; None to attack the
            network itself. The source is taken without its input transform and kept in the
            checkpoints, so the file is needed only once.
        clean_share: Weight of the clean images in the loss, in [0, 1): 0 for adversarial images
            alone, 0.5 for as much of both.
        transform: Input transform; the identity if None. Attacks on the network itself let the
            gradient straight through it.
        optimizer: Builds the optimizer.
        scheduler: Builds a learning-rate scheduler.

    Raises:
        ConfigError: If ``clean_share`` is not in [0, 1), the attack refuses its arguments, or
            ``source`` is not a checkpoint of the same architecture.
    """

    def __init__(
        self,
        network: nn.Module,
        attack: AttackCallable = lambda view: PGD(view, eps=0.3, steps=10),
        source: str | None = None,
        clean_share: float = 0.5,
        transform: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(network, transform, optimizer, scheduler)
        if not 0 <= clean_share < 1:
            raise ConfigError(
                f"Expected `clean_share` to be in [0, 1), but got {clean_share}. Use `Standard` to "
                "train on clean images alone."
            )
        check_attack_radius(attack(network))  # to refuse its arguments before any work is done
        self.attack, self.clean_share = attack, clean_share
        self.source_checkpoint = source
        self.source = copy.deepcopy(network).requires_grad_(False) if source is not None else None
        self._kept = AdversarialCache(self._of_source)
        self.has_source: Tensor
        self.register_buffer("has_source", torch.tensor(False))

    def on_fit_start(self) -> None:
        """Load the source, unless the checkpoint of a training to go on with has brought it."""
        if self.source is not None and self.source_checkpoint is not None and not self.has_source:
            load_network(self.source, self.source_checkpoint, "source")
            self.has_source.fill_(True)

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Return the cross-entropy of clean and adversarial images, weighted by their share."""
        x_adv = self.adversarial(x, y)
        if self.clean_share == 0:
            return F.cross_entropy(self.outputs(x_adv), y)
        # In one pass, in which batch normalization sees both.
        clean, adversarial = self.outputs(torch.cat([x, x_adv])).chunk(2)
        share = self.clean_share
        return share * F.cross_entropy(clean, y) + (1 - share) * F.cross_entropy(adversarial, y)

    def adversarial(self, x: Images, y: Labels) -> Images:
        """Return the adversarial images to train on, of the shape of ``x``."""
        if self.source is None:
            return self.crafted(self.attack, self.outputs_view(), x, y, self.current_epoch)
        return self._kept(x, self.index_of(x))

    def _of_source(self, x: Images, index: Int64[Tensor, " n"]) -> Images:
        source = cast(nn.Module, self.source).eval()
        with torch.no_grad():
            predicted = source(x).argmax(dim=1)
        return self.crafted(self.attack, source, x, predicted, epoch=0, index=index)
