"""Records made by hand, and by an evaluation of a network of one layer."""

import torch
from lightning.pytorch import Trainer
from torch import nn

from robust.attacks import PGD
from robust.defenses import Standard
from robust.evaluation.flat import evaluation_of
from robust.results.records import AttackInfo, Evaluation, Header, Row
from robust.threat import ThreatModel

EPS = 0.3


def info(name="FGSM", *, eps=0.1, norm="Linf", target=None, minimal=False, **arguments):
    return AttackInfo(name, {"eps": eps, **arguments}, norm, eps, target, minimal)


def header(**attacks):
    return Header(
        suite="test",
        attacks=attacks,
        seed=0,
        block=250,
        data="digits",
        data_sha256="d",
        model_sha256="m",
        adaptive_sha256="a",
    )


def row(index=0, *, view="deployed", attack="fgsm", label=0, clean=0, adv=0, target=-1, **rest):
    values = {
        "attacked": clean == label and label != target,
        "clean_tie": False,
        "adv_tie": False,
        "zero_gradient": False,
        "linf": 0.1,
        "l2": 0.5,
        "l0": 3.0,
        "forwards": 1.0,
        "seconds": 0.001,
        **rest,
    }
    return Row(view, attack, index, label, target, clean_pred=clean, adv_pred=adv, **values)


def rows(misclassified, n, **rest):
    """Return ``n`` correct samples; an attack succeeds on the first ``misclassified``."""
    return [row(i, adv=1 if i < misclassified else 0, **rest) for i in range(n)]


def evaluation(attacks, successes, n=200):
    """Return an evaluation with ``successes[view, attack]`` of ``n`` samples misclassified."""
    return Evaluation(
        header(**attacks),
        [r for (v, a), k in successes.items() for r in rows(k, n, view=v, attack=a)],
    )


def linear():
    """Return a network for the made-up data: the brightest row wins."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        network[1].bias.zero_()
        network[1].weight.copy_(torch.eye(4)[:3].repeat_interleave(4, dim=1))
    return network


def evaluate(data, tmp_path, defense=None, **arguments):
    defaults = {
        "suite": "test",
        "attacks": {"pgd": lambda m: PGD(m, EPS, steps=2)},
        "threat_model": ThreatModel("Linf", EPS),
        "records": str(tmp_path / "records"),
        "block": 7,
    }
    callback = evaluation_of(**{**defaults, **arguments})
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        inference_mode=False,
        default_root_dir=tmp_path,
    )
    defense = Standard(linear()) if defense is None else defense
    trainer.test(defense, datamodule=data, verbose=False)
    return callback.evaluated, trainer
