"""A trainer has to use the processes that torchrun or srun started."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import torch.distributed as dist
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Trainer

from robust.errors import ConfigError


class Processes(NamedTuple):
    """How many processes run one command.

    Args:
        devices: Processes on each node.
        nodes: Nodes of the cluster.
    """

    devices: int
    nodes: int

    @staticmethod
    def launched() -> "Processes | None":
        """Return the processes that torchrun or srun started; None if neither did."""
        if TorchElasticEnvironment.detect():
            devices = int(os.environ["LOCAL_WORLD_SIZE"])
            return Processes(devices, int(os.environ["WORLD_SIZE"]) // devices)
        if SLURMEnvironment.detect():
            nodes = int(os.environ.get("SLURM_NNODES", "1"))
            return Processes(int(os.environ["SLURM_NTASKS"]) // nodes, nodes)
        return None

    @staticmethod
    def leave_process_group() -> "Processes":
        """Leave the group and return one process; otherwise a trainer would wait for the others."""
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
        return Processes(devices=1, nodes=1)


def check_processes(trainer: Trainer) -> None:
    """Raise if each of several processes would be a run of its own, in one folder.

    Raises:
        ConfigError: If the trainer does not have the processes that torchrun or srun started.
    """
    launched = Processes.launched()
    if launched is not None and launched != (trainer.num_devices, trainer.num_nodes):
        raise ConfigError(
            f"Expected a trainer of the processes that torchrun or srun started, "
            f"{launched.devices} on each of {launched.nodes} nodes, but got {trainer.num_devices} "
            f"on each of {trainer.num_nodes}. Give --trainer.devices={launched.devices} "
            f"--trainer.num_nodes={launched.nodes}."
        )


def patient_barrier(timeout: timedelta = timedelta(days=7)) -> Callable[[], None]:
    """Return a barrier for processes that may be hours apart, as in attacks.

    The barriers of a trainer fail after half an hour. Call this while all processes are together.

    Args:
        timeout: How long the first may wait for the last.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return lambda: None
    group = dist.new_group(backend="gloo", timeout=timeout)

    def wait() -> None:
        dist.barrier(group=group)  # type: ignore[arg-type] # a number where a process is no member

    return wait
