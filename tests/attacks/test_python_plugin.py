"""Python gives attacks as objects: functions, classes and paths, in a suite and alone."""

import functools

import pytest
import torch

import robust
from robust.attacks.by_name import attack_builder, attack_named
from robust.attacks.plugin import Plugin, is_plugin
from robust.errors import ConfigError
from robust.loading.suites import evaluation_of_suite
from robust.threat import ThreatModelViolation
from tests.attacks.test_plugin import fails, halfway, one_step, too_far
from tests.support.bars import Bars, bars

pytestmark = pytest.mark.usefixtures("quiet")


class Caller:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, model, x, y, eps):
        return one_step(model, x, y, eps, scale=self.scale)


def images():
    x, y = bars(count=12)
    return (x * 255).round() / 255, y


def defense():
    return robust.Standard(Bars()).eval()


def test_a_suite_of_objects():
    attacks = {
        "function": one_step,
        "partial": functools.partial(one_step, scale=0.9),
        "with_arguments": {"class_path": one_step, "init_args": {"scale": 0.9}},
        "lambda": lambda model, x, y, eps: one_step(model, x, y, eps),
        "callable": Caller(0.9),
        "class": robust.attacks.FGSM,
        "class_with_arguments": {"class_path": robust.attacks.PGD, "init_args": {"steps": 2}},
        "path": "robust.attacks.FGSM",
    }
    result = robust.evaluate(Bars(), images(), attacks, eps=0.5, views=["adaptive"], progress=False)
    header = result.evaluation.header
    assert list(header.attacks) == list(attacks)
    assert {attack.eps for attack in header.attacks.values()} == {0.5}
    assert result.success("function").value == 1
    given = {name: header.attacks[name].arguments.get("given") for name in attacks}
    assert given["partial"] == given["with_arguments"] == "[('scale', 0.9)]"
    assert header.attacks["class_with_arguments"].arguments["steps"] == 2


def test_a_function_alone():
    x, y = images()
    x_adv = robust.attack(one_step, defense(), x, y, eps=0.25, scale=0.5)
    assert 0 < (x_adv - x).abs().max() <= 0.125 + 1e-6
    path = robust.attack("tests.attacks.test_plugin.one_step", defense(), x, y, eps=0.25, scale=0.5)
    assert torch.equal(x_adv, path)
    nearest = robust.attack(halfway, defense(), x, y)
    assert nearest.shape == x.shape


def test_a_function_that_does_more_than_it_may_is_refused():
    x, y = images()
    with pytest.raises(ThreatModelViolation, match="left the threat model"):
        robust.attack(too_far, defense(), x, y, eps=0.1)
    with pytest.raises(ThreatModelViolation, match="left the threat model"):
        robust.evaluate(Bars(), (x, y), {"far": too_far}, eps=0.1, progress=False)


def test_weights_and_modes_stay_as_they_are():
    x, y = images()
    network = defense()
    robust.attack(one_step, network, x, y, eps=0.25)
    assert all(weight.grad is None for weight in network.parameters())
    assert not network.training


@pytest.mark.parametrize(
    ("attack", "arguments", "message"),
    [
        (fails, {}, r"it failed \(no such thing\)"),
        (one_step, {"sclae": 1}, r"argument of one_step .*, but got 'sclae'\. Did you mean scale"),
        ("adv_lib_typo.attacks.fmn", {}, r"its module cannot be imported .* Is it installed\?"),
        ("torchattacks.PGDD", {}, r"no 'PGDD' in torchattacks\. Did you mean torchattacks\.PGD"),
        ("robust.attacks.PDG", {}, r"no 'PDG' in robust\.attacks\. Did you mean robust\.attacks"),
        (3, {}, "or a function of a model, images and labels, but got int"),
        (torch.nn.ReLU, {}, "or a function of a model, images and labels, but got ReLU"),
    ],
)
def test_what_is_no_attack_is_one_line(attack, arguments, message):
    with pytest.raises(ConfigError, match=message) as error:
        robust.attack(attack, defense(), *images(), eps=0.1, **arguments)
    assert len(str(error.value)) <= 300


def test_a_path_may_be_of_any_package():
    assert attack_named("torchattacks.PGD").__module__.startswith("torchattacks")
    assert attack_builder("robust.attacks.PGD", {"eps": 0.1}, {})[0] == "PGD"


def test_what_builds_an_attack_is_no_plugin():
    assert not is_plugin(lambda view, eps: robust.attacks.FGSM(view, eps=eps))
    assert not is_plugin(robust.attacks.FGSM)
    assert not is_plugin(Bars())


def test_another_function_has_other_records():
    """Also if it is one in name, and differs in what it encloses."""

    def made(scale):
        def mine(model, x, y, eps):
            return one_step(model, x, y, eps, scale=scale)

        return mine

    sources = {Plugin(Bars(), made(scale)).source for scale in (0.5, 0.9, 0.9)}
    assert len(sources) == 2
    typed = {}
    exec("def mine(model, x, y):\n    return x", typed)
    assert Plugin(Bars(), typed["mine"]).source


def test_the_mapping_of_the_caller_stays_as_it_is():
    spec = {"class_path": one_step, "init_args": {"scale": 0.9}}
    given = {"mine": spec}
    evaluation_of_suite(given)
    assert given == {"mine": {"class_path": one_step, "init_args": {"scale": 0.9}}}
