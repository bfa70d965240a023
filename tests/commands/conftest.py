"""Copies of a trained run, to be written into."""

import shutil

import pytest


@pytest.fixture
def run(trained, tmp_path):
    """The folder of a copy of the trained Squeezed with its records, ``runs/squeezed/a``."""
    return shutil.copytree(trained["squeezed"], tmp_path / "runs/squeezed/a")


@pytest.fixture
def unattacked(run):
    """The same without records."""
    shutil.rmtree(run / "records")
    return run
