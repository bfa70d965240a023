"""Processes as srun and torchrun start them, on one machine.

They are forked from one that has imported everything: to import it takes longer than the tests.
"""

import contextlib
import itertools
import os
import re
import runpy
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
import wandb.sdk.launch  # noqa: F401 (W&B imports it when a run begins)
from lightning.fabric.utilities.rank_zero import rank_zero_only

import robust.commands.evaluate
import robust.commands.train  # noqa: F401
from tests.support.forkserver import FORKSERVER
from tests.support.tiny import ROOT

TIMEOUT = 900  # two nodes on a machine that others use took 462 s
"""Seconds; on a machine with nothing else to do they take a few."""
_LOGS = itertools.count()


class Outcome(NamedTuple):
    """How processes ended: exit codes, minus the signal that killed one; what all printed.

    ``errors`` is the part of ``text`` that was on standard error.
    """

    codes: list[int]
    text: str
    errors: str


class Job:
    """Some processes, each with a session of its own, so that nothing outlives `finish`."""

    def __init__(self, commands, folder):
        self.processes = []
        self._logs = [folder / f"log{next(_LOGS)}.txt" for _ in commands]
        for (words, variables), log in zip(commands, self._logs, strict=True):
            process = FORKSERVER.Process(target=_run, args=(words, variables, str(log)))
            process.start()
            self.processes.append(process)

    def send(self, number, *ranks):
        for rank in ranks:
            os.kill(self.processes[rank].pid, number)

    def wait_for(self, condition):
        """Wait until ``condition()``, while all of them run."""
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            if any(process.exitcode is not None for process in self.processes):
                raise AssertionError(f"ended too early: {self.finish()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"still waiting: {self.finish(timeout=0)}")
            time.sleep(0.02)

    def finish(self, timeout=TIMEOUT):
        """Wait for all; those that have not ended by then are killed, with code -9."""
        deadline = time.monotonic() + timeout
        for process in self.processes:
            process.join(max(0, deadline - time.monotonic()))
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
        codes = [process.exitcode for process in self.processes]
        output = "".join(map(_content, self._logs))
        errors = "".join(_content(log.with_suffix(".err")) for log in self._logs)
        return Outcome(codes, output + errors, errors)


def srun(words, tasks, folder, nodes=1, **variables):
    """Start `tasks` processes with the variables that srun gives them."""
    here = tasks // nodes
    common = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "fit",
        "SLURM_NNODES": nodes,
        "SLURM_NTASKS": tasks,
        "SLURM_NTASKS_PER_NODE": here,
        "SLURM_NODELIST": "127.0.0.1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": _free_port(),
        **variables,
    }
    own = [
        {"SLURM_PROCID": rank, "SLURM_LOCALID": rank % here, "SLURM_NODEID": rank // here}
        for rank in range(tasks)
    ]
    return Job([(words, {**common, **each}) for each in own], folder)


def torchrun(words, processes, folder, nodes=1, options=()):
    """Start one torchrun for each node, all on the loopback, with the variables of our script."""
    variables = dict(re.findall(r"export (TORCH\w+)=(\S+)", (ROOT / "cluster/fit.sh").read_text()))
    command = ["torchrun", f"--nproc-per-node={processes}", f"--nnodes={nodes}", *options]
    command += [
        "--rdzv-backend=c10d",
        "--rdzv-id=test",
        f"--rdzv-endpoint=127.0.0.1:{_free_port()}",
    ]
    return Job([([*command, *words], variables)] * nodes, folder)


def alone(words, folder, **variables):
    """Start one process, which may start others itself."""
    return Job([(words, variables)], folder)


def two_processes(args, folder):
    """What `train.py` in two processes, of which the machine starts each, comes to."""
    words = ["train.py", *args, "--trainer.devices=2", "--trainer.strategy=ddp"]
    ended = srun(words, 2, folder).finish()
    assert ended.codes == [0, 0], ended.text
    return ended.text


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _content(log):
    return log.read_text() if log.exists() else ""


def _run(words, variables, log):
    os.setsid()
    os.chdir(ROOT)
    for descriptor, path in ((1, log), (2, Path(log).with_suffix(".err"))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    for name in ("ROBUST_RUN_ID", "WANDB_RUN_ID", "WANDB_MODE"):
        os.environ.pop(name, None)
    os.environ |= {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    os.environ |= {name: str(value) for name, value in variables.items()}
    torch.set_num_threads(1)
    rank_zero_only.rank = int(variables.get("SLURM_PROCID", 0))  # set when it was imported
    sys.argv = words
    if words[0] == "torchrun":
        sys.exit(runpy.run_module("torch.distributed.run", run_name="__main__") and 0)
    runpy.run_path(words[0], run_name="__main__")
