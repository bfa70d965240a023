"""A run is tracked in its folder ``runs/<name>/<id>`` and in Weights & Biases.

A run needs no account. Without a key or an answer of the server W&B records it in its folder, and
``wandb sync`` uploads it later.
"""

from robust.results.metrics_csv import read_metrics
from robust.tracking.artifacts import SCHEME, fetch_run, log_run
from robust.tracking.epochs import TrainingAccuracy, TrainingSeconds
from robust.tracking.late_loggers import LateLoggers
from robust.tracking.media import log_adversarial_table, log_figures, log_table, log_verdict
from robust.tracking.preemption import Preemption
from robust.tracking.processes import Processes, check_processes, patient_barrier
from robust.tracking.run import Run, SaveRunConfig, remove_unused
from robust.tracking.saving import AtomicCheckpoints, BestCheckpoint
from robust.tracking.tracker import Tracker, loggers
from robust.tracking.trainer_settings import check_strategy, check_trainer, plugins

__all__ = [
    "SCHEME",
    "AtomicCheckpoints",
    "BestCheckpoint",
    "LateLoggers",
    "Preemption",
    "Processes",
    "Run",
    "SaveRunConfig",
    "Tracker",
    "TrainingAccuracy",
    "TrainingSeconds",
    "check_processes",
    "check_strategy",
    "check_trainer",
    "fetch_run",
    "log_adversarial_table",
    "log_figures",
    "log_run",
    "log_table",
    "log_verdict",
    "loggers",
    "patient_barrier",
    "plugins",
    "read_metrics",
    "remove_unused",
]
