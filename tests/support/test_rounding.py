"""The simulated CPU rounds as another one would, and nothing else."""

import os
import shutil
import subprocess

import pytest
import torch
import torch.nn.functional as F

from tests.support.rounding import OtherCPU
from tests.support.tiny import ROOT

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("ROBUST_TEST_ROUNDING")), reason="is on another CPU already"
)


def network(x):
    torch.manual_seed(0)
    return F.linear(torch.tanh(F.conv2d(x, torch.randn(4, 1, 3, 3))).flatten(1), torch.randn(5, 36))


def scores(x, seed):
    with OtherCPU(seed):
        return network(x)


def test_results_differ_by_rounding_from_cpu_to_cpu():
    x = torch.rand(6, 1, 5, 5)
    first, second = scores(x, 1), scores(x, 2)
    torch.testing.assert_close(first, network(x), rtol=0, atol=1e-5)
    assert torch.equal(scores(x, 1), first)
    assert not torch.equal(first, second)
    assert not torch.equal(first, network(x))


def test_who_shares_the_batch_matters_to_products_alone():
    x = torch.rand(6, 1, 5, 5)
    assert not torch.equal(scores(x[:2], 1), scores(x, 1)[:2])
    with OtherCPU(1):
        for function in (torch.tanh, torch.exp, lambda x: x.sum(dim=(1, 2, 3))):
            assert torch.equal(function(x[:2]), function(x)[:2])
            assert not torch.equal(function(x), function(x.double()).float())


def test_gradients_are_rounded_too():
    gradients = []
    for seed in (1, 2):
        x = torch.rand(6, 1, 5, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
        with OtherCPU(seed):
            (x.flatten(1) @ torch.full((25, 3), 0.1)).square().sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)
    assert not torch.equal(*gradients)


def test_what_every_cpu_holds_exactly_stays():
    weights, x = torch.arange(12.0).view(3, 4), torch.eye(4)[:2] * 0.5
    with OtherCPU(1):
        assert torch.equal(F.linear(x, weights), weights.T[:2] * 0.5)
        assert torch.equal(torch.rand(3, 3).double().exp().float() * 0, torch.zeros(3, 3))


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_says_which_python_it_did_not_find():
    done = subprocess.run(
        ["make", "test-pythons", "PYTHONS=9.98 9.99"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if "not found" in line]
    assert [line.split()[1] for line in lines] == ["9.98", "9.99"]
