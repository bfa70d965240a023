"""A training says each epoch how well it knows its own images."""

import pytest
import torch

from robust.attacks import isolated
from robust.loading.trained_run import TrainedRun
from robust.results.metrics_csv import TRAINING_ACCURACY, read_metrics


def test_each_epoch_has_the_accuracy_of_the_training_images(trained):
    rows = [row for row in read_metrics(trained["standard"]) if TRAINING_ACCURACY in row]
    assert [row["epoch"] for row in rows] == list(range(6))
    assert rows[0][TRAINING_ACCURACY] < rows[-1][TRAINING_ACCURACY]
    run = TrainedRun.load(trained["standard"])
    batches = list(run.data.trained(1000))
    index = torch.cat([batch.index for batch in batches])
    assert len(index) == run.data.train_images.shape[0] - len(run.data.val_samples(1000).y)
    assert not torch.isin(index, run.data.val_samples(1000).index).any()
    with isolated(run.defense, run.defense.device, seed=0), torch.no_grad():
        right = sum(int((run.defense(b.x).argmax(dim=1) == b.y).sum()) for b in batches)
    assert rows[-1][TRAINING_ACCURACY] == pytest.approx(right / len(index))


def test_parts_are_the_first_samples_of_the_training(trained):
    data = TrainedRun.load(trained["standard"]).data
    data.eval_batch_size = 5
    parts = list(data.trained(12))
    assert [len(part.y) for part in parts] == [5, 5, 2]
    assert torch.equal(torch.cat([part.index for part in parts]), data.trained_samples()[1][:12])
    assert torch.equal(torch.cat([p.x for p in parts]), next(_one_part(data)).x[:12])


def _one_part(data):
    data.eval_batch_size = 500
    return data.trained(500)
