"""Processes forked from one that has imported everything, which takes longer than most tests."""

import multiprocessing

FORKSERVER = multiprocessing.get_context("forkserver")
"""Starts processes that have imported everything; what they run lies in a module of tests."""
# W&B before torch, as in `tests.support.quicker`.
FORKSERVER.set_forkserver_preload(["wandb", "wandb.sdk.launch", "tests.support.cluster"])
