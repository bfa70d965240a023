"""Defenses: how a net is trained, deployed, and properly attacked; one paper a file."""

from robust.defenses.base import Defense
from robust.defenses.codewords import Codewords
from robust.defenses.distillation import Distillation
from robust.defenses.squeezed import Squeezed
from robust.defenses.standard import Standard

__all__ = ["Codewords", "Defense", "Distillation", "Squeezed", "Standard"]
