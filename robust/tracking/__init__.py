"""Where a run lives on disk and in Weights & Biases: ``runs/<name>/<id>`` holds everything of it.

A run needs no account: without a key, or with the server out of reach, W&B records it in its folder
and ``wandb sync`` uploads it later.
"""

from robust.tracking.media import log_adversarial_table, log_figures, log_table
from robust.tracking.run import Run, SaveRunConfig
from robust.tracking.tracker import Tracker, loggers

__all__ = [
    "Run",
    "SaveRunConfig",
    "Tracker",
    "log_adversarial_table",
    "log_figures",
    "log_table",
    "loggers",
]
