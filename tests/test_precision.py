"""GPUs keep full float32; bfloat16 on CPUs that have none of their own is said once."""

import platform

import pytest
import torch

from robust import precision
from robust.attacks import BIM, craft
from robust.commands.process import run_command
from robust.commands.train import train
from robust.precision import bfloat16_is_native, warn_if_emulated
from tests.support.oracles import LinearOracle
from tests.support.tiny import arguments

CPU = torch.device("cpu")
SAYS = "warning: this CPU has no bfloat16 of its own"


@pytest.fixture
def emulated(monkeypatch):
    """A CPU without bfloat16 that has said nothing yet."""
    precision._say.cache_clear()
    monkeypatch.setattr(precision, "bfloat16_is_native", lambda device: device.type != "cpu")
    yield
    precision._say.cache_clear()


def test_commands_keep_full_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert run_command(lambda: None) == 0
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("machine", ["x86_64", "AMD64"])
@pytest.mark.parametrize("avx512", [False, True])
@pytest.mark.parametrize("amx", [False, True])
def test_x86_needs_avx512_bf16_or_amx(monkeypatch, machine, avx512, amx):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert bfloat16_is_native(CPU) == (avx512 or amx)
    assert bfloat16_is_native(torch.device("cuda"))


@pytest.mark.parametrize("onednn", [False, True])
def test_another_cpu_is_what_onednn_says(monkeypatch, onednn):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    says = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)
    assert bfloat16_is_native(CPU) == (onednn and says)


def test_this_cpu_has_what_it_says():
    assert isinstance(bfloat16_is_native(CPU), bool)
    if torch.cpu._is_avx512_bf16_supported():
        assert torch.cpu._is_avx512_supported()


def test_it_is_said_once_and_with_a_remedy(emulated, capsys):
    for _ in range(3):
        warn_if_emulated(CPU, "Do without.")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(SAYS)
    assert said.endswith("Do without.\n")


def test_nothing_is_said_where_it_is_native(emulated, capsys, monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_is_native", lambda device: True)
    warn_if_emulated(CPU, "Do without.")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_an_attack_says_so(emulated, capsys, asked):
    oracle = LinearOracle()
    x, y = oracle.samples(2)
    for _ in range(2):
        craft(lambda m: BIM(m, 0.1, steps=2, precision=asked), oracle, x, y)
    expected = 1 if asked == "bfloat16" else 0
    assert capsys.readouterr().err.count("Leave out `precision: bfloat16`") == expected


@pytest.mark.parametrize(("asked", "says"), [("bf16-mixed", True), ("32-true", False)])
def test_a_training_says_so(quiet, emulated, capsys, npz, tmp_path, suite, asked, says):
    command = arguments(npz, tmp_path / "runs", suite, "Standard", epochs=1)
    code = train([*command, f"--trainer.precision={asked}", "--trainer.fast_dev_run=true"])
    assert code == 0
    said = capsys.readouterr().err
    assert ("Train with `--trainer.precision=32-true`." in said) == says
    assert (SAYS in said) == says
