"""Networks: pixels in [0, 1] to outputs, one architecture a file."""

from robust.networks.tuna_cnn import TunaCifarCNN, TunaMnistCNN

__all__ = ["TunaCifarCNN", "TunaMnistCNN"]
