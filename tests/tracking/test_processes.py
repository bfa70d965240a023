"""Processes that wait for each other."""

import socket
import time
from datetime import timedelta

import torch.distributed as dist

from robust.tracking import patient_barrier
from tests.support.forkserver import FORKSERVER


def test_alone_there_is_nobody_to_wait_for():
    patient_barrier()()


def _process(rank, port, patience, outcomes):
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", address, rank=rank, world_size=2, timeout=timedelta(seconds=20))
    barrier = patient_barrier(timedelta(seconds=patience))
    time.sleep(3 * rank)
    start = time.monotonic()
    try:
        barrier()
    except RuntimeError:
        outcomes.put((rank, None))
    else:
        outcomes.put((rank, time.monotonic() - start))


def start(patience):
    """Two processes that meet three seconds apart, and the queue of what they found."""
    outcomes = FORKSERVER.Queue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        FORKSERVER.Process(target=_process, args=(rank, port, patience, outcomes))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    return processes, outcomes


def waited(processes, outcomes):
    """Seconds that each of the two waited; None if it gave up."""
    found = dict(outcomes.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    outcomes.close()
    return found


def test_the_first_waits_for_the_last_as_long_as_told():
    patient, impatient = start(patience=60), start(patience=1)
    assert waited(*patient)[0] > 2
    assert waited(*impatient)[0] is None
