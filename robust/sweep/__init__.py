"""Sweeps without a server: ``python -m robust.sweep sweeps/temperature.yaml``.

The file is that of ``wandb sweep``, and search and early stopping come from W&B's own package
``sweeps``; runs are processes of this machine, recorded offline.
"""
