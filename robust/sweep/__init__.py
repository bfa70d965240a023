"""Sweeps run without a server: ``python -m robust.sweep sweeps/temperature.yaml``.

The file has the form of ``wandb sweep``. Optuna searches and keeps the state. Runs are processes of
this machine, recorded offline. Several machines may share a sweep.
"""
