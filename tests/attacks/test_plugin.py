"""Attacks of other libraries and functions run in a suite, checked and judged as ours are."""

import pytest
import torch

import robust
from robust.attacks import craft
from robust.attacks.plugin import Plugin
from robust.errors import ConfigError
from robust.threat import ThreatModelViolation
from tests.support.bars import Bars, bars
from tests.support.oracles import LinearOracle

pytestmark = pytest.mark.usefixtures("quiet")
HERE = "tests.attacks.test_plugin"


def one_step(model, x, y, eps, targeted=False, scale=1.0):
    """As adversarial-library's attacks are called."""
    torch.manual_seed(5)  # as many do
    x = x.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    loss.backward()  # leaves gradients on the weights
    step = -eps if targeted else eps
    return (x + scale * step * x.grad.sign()).clamp(0, 1).detach()


def halfway(model, images, labels):
    """It looks for no budget."""
    return 0.5 * images + 0.25


def too_far(model, x, y, eps):
    return one_step(model, x, y, eps, scale=2.0)


def scores(model, x, y):
    return model(x)


def fails(model, x, y):
    raise RuntimeError("no such thing")


def evaluated(attacks, eps=0.1):
    x, y = bars(count=12)
    images = (x * 255).round() / 255, y
    suite = {"suite": "tiny", "threat_model": {"norm": "Linf", "eps": eps}, "attacks": attacks}
    return robust.evaluate(Bars(), images, suite, progress=False)


def test_a_function_is_an_attack_of_a_suite():
    spec = {"class_path": f"{HERE}.one_step", "init_args": {"scale": 0.9}}
    result = evaluated({"mine": spec, "bare": f"{HERE}.one_step"}, eps=0.5)
    assert result.success("mine").value == result.success("bare").value == 1
    mine, bare = (result.evaluation.header.attacks[name] for name in ("mine", "bare"))
    assert (mine.eps, mine.minimal, mine.norm) == (0.5, False, "Linf")
    assert mine.arguments["of"] == f"{HERE}.one_step"
    assert mine.arguments["given"] == "[('scale', 0.9)]"
    assert mine.arguments["source"] == bare.arguments["source"] != ""


def test_one_without_eps_has_no_budget_and_counts_within_eps():
    near, far = (evaluated({"half": f"{HERE}.halfway"}, eps=eps) for eps in (0.01, 0.5))
    assert near.evaluation.header.attacks["half"].minimal
    assert near.success("half").value <= far.success("half").value


def test_what_leaves_the_threat_model_is_refused():
    with pytest.raises(ThreatModelViolation, match="left the threat model"):
        evaluated({"far": f"{HERE}.too_far"})


@pytest.mark.parametrize(
    ("name", "message"),
    [("scores", "to return images of the shape"), ("fails", r"it failed \(no such thing\)")],
)
def test_what_is_no_attack_is_one_line(name, message):
    with pytest.raises(ConfigError, match=message) as error:
        evaluated({"odd": f"{HERE}.{name}"})
    assert len(str(error.value)) <= 300


def test_it_leaves_everything_as_it_was():
    oracle = LinearOracle()
    x, y = oracle.samples(4)
    oracle.train()
    state = torch.get_rng_state()
    clean = x.clone()
    x_adv = craft(lambda view: Plugin(view, one_step, eps=0.1), oracle, x, y).x_adv
    assert (oracle(x_adv).argmax(dim=1) != y).all()
    assert oracle.w.grad is None
    assert oracle.training
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, clean)


def test_a_target_is_handed_on():
    oracle = LinearOracle()
    x, y = oracle.samples(4)
    crafted = craft(lambda view: Plugin(view, one_step, eps=0.1), oracle, x, y, target=1 - y)
    assert (oracle(crafted.x_adv).argmax(dim=1) == 1 - y).all()
    with pytest.raises(ValueError, match="Targeted mode is not supported"):
        craft(lambda view: Plugin(view, halfway), oracle, x, y, target=1 - y)


def test_a_suite_file_names_no_function_that_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.delenv("ROBUST_TRUST")
    file = tmp_path / "mine.yaml"
    for spec in (
        "os.system",
        f"{HERE}.one_step",
        "{class_path: robust.attacks.plugin.Plugin, init_args: {attack: os.system}}",
        f"{{class_path: robust.attacks.plugin.Plugin, init_args: {{attack: {HERE}.fails}}}}",
    ):
        file.write_text(f"suite: mine\nattacks: {{a: {spec}}}\n")
        with pytest.raises(ConfigError, match=r"--trust|os\.system|class"):
            robust.Suite.load(file)


@pytest.mark.reference
def test_foolbox():
    pytest.importorskip("foolbox")
    steps = {"class_path": "foolbox.attacks.LinfPGD", "init_args": {"steps": 40}}
    result = evaluated({"pgd": steps, "ddn": "foolbox.attacks.DDNAttack"}, eps=0.5)
    assert result.success("pgd").value == 1
    assert result.evaluation.header.attacks["ddn"].minimal
