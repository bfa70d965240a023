"""What changes a fingerprint, and what does not."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

import robust.attacks
from robust.attacks import PGD, AutoAttack, Rescale
from robust.defenses import Distillation, Recall, Squeezed, Standard
from robust.evaluation.fingerprints import _own_files, code_sha256, model_sha256
from robust.evaluation.meaning import meaning_sha256
from tests.support.tiny import ROOT


def test_a_model_is_known_by_weights_modules_and_arguments():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    hashes = {
        model_sha256(network),
        model_sha256(Standard(network)),
        *(model_sha256(Squeezed(network, a, t)) for a in ("tanh", "sigmoid") for t in (1.0, 2.0)),
    }
    network[1].bias.data[0] += 1e-6
    hashes.add(model_sha256(network))
    assert len(hashes) == 7


def test_memory_format_and_mode_do_not_change_the_hash():
    network = nn.Conv2d(3, 4, 2)
    before = model_sha256(network)
    assert model_sha256(network.to(memory_format=torch.channels_last).eval()) == before


def test_views_are_known_by_their_arguments():
    network = nn.Linear(2, 2)
    assert len({model_sha256(Rescale(network, t, s)) for t in (1.0, 2.0) for s in (5.0, 10.0)}) == 4


def test_a_module_is_known_by_arguments_of_several_values_and_by_functions():
    class Applied(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

    narrow = nn.Conv2d(1, 4, 3, stride=1, padding=1)
    wide = nn.Conv2d(1, 4, 3, stride=2, padding=1)
    wide.load_state_dict(narrow.state_dict())
    modules = [narrow, wide, Applied(torch.relu), Applied(torch.tanh), Applied(None)]
    assert len({model_sha256(module) for module in modules}) == 5


def test_how_a_network_was_trained_does_not_matter():
    network = nn.Linear(2, 2)
    trained = Standard(network, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    assert model_sha256(trained) == model_sha256(Standard(network))
    taught = Distillation(network, teacher="somewhere/last.ckpt")
    assert model_sha256(taught) == model_sha256(Distillation(network))


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("kind", "file"),
    [
        (PGD, "robust/losses.py"),
        (AutoAttack, "robust/attacks/query/square.py"),
        (Recall, "robust/defenses/codewords.py"),
        (Standard, "robust/evaluation/masking_signs.py"),
    ],
)
def test_code_counts_that_a_class_only_imports(kind, file, monkeypatch):
    before = code_sha256([kind])
    append(monkeypatch, ROOT / file, b"\n# a comment\n")
    assert code_sha256([kind]) == before
    append(monkeypatch, ROOT / file, b"\nchanged = True\n")
    assert code_sha256([kind]) != before
    monkeypatch.undo()
    meaning_sha256.cache_clear()
    assert code_sha256([kind]) == before


def append(monkeypatch, file, text):
    """Read some more at the end of a file."""
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda p: read(p) + (text if p == file else b""))
    meaning_sha256.cache_clear()


def test_what_else_a_process_has_imported_does_not_count(tmp_path, monkeypatch):
    of_the_package = type("OfThePackage", (), {"__module__": "robust.attacks"})
    before = code_sha256([of_the_package])
    later = ModuleType("robust.attacks.later")
    later.__file__ = str(tmp_path / "later.py")
    (tmp_path / "later.py").write_text("# imported for something else")
    monkeypatch.setitem(sys.modules, later.__name__, later)
    monkeypatch.setattr(robust.attacks, "later", later, raising=False)
    _own_files.cache_clear()
    assert code_sha256([of_the_package]) == before


def load(path, body):
    path.write_text(f"class Attack:\n    def forward(self):\n        return {body}\n")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module.Attack


def test_code_is_known_by_its_files(tmp_path):
    hashes = [code_sha256([load(tmp_path / f"v{i}.py", body)]) for i, body in enumerate("112")]
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]
    assert code_sha256([]) == code_sha256([int, nn.Linear])
    assert code_sha256([]) != code_sha256([PGD])
