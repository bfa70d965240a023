"""Attacks that descend with Adam share it: Kingma and Ba 2015, https://arxiv.org/abs/1412.6980."""

import torch

from robust.types import Images

_FIRST, _SECOND = 0.9, 0.999


class Adam:
    """Adam keeps moments of the gradient for a batch of images."""

    def __init__(self, x: Images) -> None:
        self._mean, self._square, self._steps = torch.zeros_like(x), torch.zeros_like(x), 0

    def direction(self, gradient: Images) -> Images:
        """Take note of a gradient, and return the step of length 1 to go against."""
        mean, scale = self.moments(gradient)
        return mean / scale

    def moments(self, gradient: Images) -> tuple[Images, Images]:
        """Take note of a gradient, and return the mean and the scale, both without their bias."""
        self._steps += 1
        self._mean = self._mean.lerp(gradient, 1 - _FIRST)
        self._square = self._square.lerp(gradient.square(), 1 - _SECOND)
        scale = (self._square / (1 - _SECOND**self._steps)).sqrt() + 1e-8
        return self._mean / (1 - _FIRST**self._steps), scale
