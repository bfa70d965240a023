"""What tests leave of W&B to those after them."""

import os

import pytest
import wandb

from tests.support.wandb_server import forget_wandb

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def test_no_service_is_named_after_its_end(monkeypatch):
    wandb.setup().ensure_service()
    assert "WANDB_SERVICE" in os.environ
    with monkeypatch.context() as within:
        forget_wandb(within)
        assert "WANDB_SERVICE" not in os.environ
    assert "WANDB_SERVICE" not in os.environ
