"""Sweeps run without a server: ``python -m robust.sweep sweeps/temperature.yaml``.

The file has the form of ``wandb sweep``. Search and early stopping come from W&B's own package
``sweeps``. Runs are processes of this machine, recorded offline.
"""
