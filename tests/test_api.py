"""The Python face: one call each to train, attack, evaluate and load, numbers of the command."""

import doctest
import re
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ProgressBar
from torch import nn

import robust
from robust.commands.evaluate import evaluate as command
from robust.defenses.sizes import take_sizes
from robust.errors import ConfigError
from robust.networks.arguments import given_arguments
from robust.results.records import read_evaluation
from robust.threat import ThreatModelViolation
from tests.support.odd_networks import OneLogit
from tests.support.tiny import Plain

ROOT = Path(__file__).parent.parent
QUIET = {"progress": False, "accelerator": "cpu"}
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def digits():
    return robust.ImageDataModule("digits")


@pytest.fixture(scope="module")
def network(digits):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return robust.fit(robust.Squeezed(robust.MLP(hidden=32)), digits, 2, **QUIET)


def left(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_import_is_fast_and_without_torch():
    code = (
        "import time; start = time.process_time(); import robust\n"
        "used = time.process_time() - start\n"
        "import sys; assert 'torch' not in sys.modules; assert 'fit' in dir(robust)\n"
        "print(robust.__version__, used)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, used = done.stdout.split()
    assert shown == robust.__version__ == version("robust-defenses")
    assert float(used) < 0.3


def test_the_face_is_complete():
    import robust.api as api

    assert set(robust.__all__) == {*api.__all__, "__version__"}
    assert set(robust.__all__) <= set(dir(robust))
    defenses = {name for name, kind in vars(robust.defenses).items() if is_defense(kind)}
    assert defenses <= set(robust.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        robust.nothing  # noqa: B018


def is_defense(kind):
    return isinstance(kind, type) and issubclass(kind, robust.Defense)


NAMES = [name for name in robust.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_an_example_that_is_true(name, monkeypatch):
    monkeypatch.setattr("robust.tracking.trainers.progress_bar", ProgressBar)
    globs = {"robust": robust, "torch": torch}
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(robust, name), name, globs=globs)
    assert test.examples
    with torch.random.fork_rng():
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        said = []
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def test_the_page_is_true(capsys):
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```", page)
    names = {}
    for block in blocks:
        exec(block.replace("max_epochs=20", "max_epochs=1").replace("limit=200", "limit=20"), names)
    assert names["result"].robust_accuracy().n == 20
    assert len(page.splitlines()) <= 60


def test_fit_and_evaluate_leave_no_file(network, digits, tmp_path):
    again = robust.fit(robust.Standard(robust.MLP(hidden=8)), digits, 1, **QUIET)
    result = robust.evaluate(again, digits, limit=10, attacks=["fgsm"], **QUIET)
    assert not again.training
    assert left(tmp_path) == []
    assert result.clean_accuracy().n == 10


def test_fit_is_repeatable_and_leaves_random_numbers_alone(digits):
    def trained():
        torch.manual_seed(7)
        built = robust.Standard(robust.MLP(hidden=8))
        before = torch.get_rng_state()
        robust.fit(built, digits, 1, **QUIET)
        assert torch.equal(torch.get_rng_state(), before)
        return built.state_dict()

    one, two = trained(), trained()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_numbers_are_those_of_the_command(trained, suite, tmp_path, capsys):
    import shutil

    shutil.copytree(trained["squeezed"], tmp_path / "runs/squeezed/a")
    folder = tmp_path / "runs/squeezed/a"
    shutil.rmtree(folder / "records")
    run = robust.load(folder)
    before = set(folder.rglob("*"))
    in_memory = robust.evaluate(run.network, run.data, suite, limit=12, **QUIET)
    assert set(folder.rglob("*")) == before
    own = run.evaluate(suite, limit=12, **QUIET)
    assert command([str(folder), f"--suite={suite}", "--limit=12"]) == 0
    (path,) = (folder / "records").glob("*.csv")
    recorded = read_evaluation(path)
    for result in (in_memory, own):
        assert result.evaluation.header == recorded.header
        numbers = [name for name in recorded.rows[0]._fields if name != "seconds"]
        assert all((result.evaluation.rows[n] == recorded.rows[n]).all() for n in numbers)
    table = capsys.readouterr().out
    lines = [line.split() for line in table.splitlines() if "adaptive" in line]
    assert any(line.split() == words for line in str(own).splitlines() for words in lines)


def test_the_result_as_text_html_and_numbers(network, digits, tmp_path):
    result = robust.evaluate(network, digits, limit=20, attacks=["fgsm", "pgd"], **QUIET)
    assert "Attack success in %, suite quick, digits" in str(result)
    assert str(result.verdict) in str(result)
    page = result._repr_html_()
    assert page.count("<tr>") == 2
    assert page.startswith("<table>")
    assert result.verdict.word in page
    cell = result.robust_accuracy("adaptive")
    assert (cell.n, cell.low <= cell.value <= cell.high) == (20, True)
    assert float(cell) == cell.value
    assert f"{cell:.0%}" == f"{cell.value:.0%} ({cell.low:.0%} to {cell.high:.0%}, n=20)"
    assert result.attacks == ["fgsm", "pgd"]
    path = result.save("runs/mine")
    assert path.parent == Path("runs/mine/records")
    assert read_evaluation(path).rows == result.evaluation.rows
    with pytest.raises(ConfigError, match=r"attacked \(deployed, adaptive\), but got"):
        result.robust_accuracy("published")
    with pytest.raises(ConfigError, match=r"of the suite \(fgsm, pgd\), but got 'cw'"):
        result.success("cw")


def test_a_network_that_was_not_trained_says_so():
    untrained = robust.Standard(robust.MLP(hidden=8))
    result = robust.evaluate(untrained, MOONS, limit=5, attacks=["fgsm"], **QUIET)
    assert "untrained: no optimizer step was taken" in str(result)
    robust.fit(untrained, MOONS, 1, **QUIET)
    result = robust.evaluate(untrained, MOONS, limit=5, attacks=["fgsm"], **QUIET)
    assert "untrained" not in str(result)


def test_names_in_html_are_text(network, digits):
    named = {"<b>": {"class_path": "robust.attacks.FGSM"}}
    page = robust.evaluate(network, digits, named, limit=5, **QUIET)._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_a_frame_needs_pandas(network, digits, monkeypatch):
    result = robust.evaluate(network, digits, limit=5, attacks=["fgsm"], **QUIET)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"pip install \"robust-defenses\[pandas\]\""):
        result.frame()

    class Pandas:
        DataFrame = dict

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    frame = result.frame()
    assert len(frame["index"]) == 10
    assert set(frame["view"]) == {"deployed", "adaptive"}


def test_images_and_labels_stand_for_data(network, digits):
    x, y, _ = digits.test_samples(0, 10)
    expected = robust.evaluate(network, digits, limit=10, attacks=["pgd"], **QUIET)
    bytes_ = (x * 255).round().to(torch.uint8).numpy()
    for pair in [(x, y), (bytes_, y.numpy())]:
        result = robust.evaluate(network, pair, limit=10, attacks=["pgd"], **QUIET)
        assert result.evaluation.rows["adv_pred"].tolist() == (
            expected.evaluation.rows["adv_pred"].tolist()
        )


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("pgd", {"steps": 2}),
        ("PGD", {"steps": 2, "norm": "L2"}),
        ("pgdl2", {}),
        ("vanilla", None),
        (robust.attacks.FGSM, {}),
        (partial(robust.attacks.PGD, steps=2), {}),
    ],
)
def test_attacks_stay_in_their_threat_model(network, digits, named, arguments):
    x, y, _ = digits.test_samples(0, 6)
    if arguments is None:
        with pytest.raises(ConfigError, match="Did you mean VANILA"):
            robust.attack(named, network, x, y)
        return
    norm = arguments.get("norm", "L2" if named == "pgdl2" else "Linf")
    for images in (x, x.numpy(), (x * 255).round().to(torch.uint8)):
        x_adv = robust.attack(named, network, images, y, eps=0.1, **arguments)
        assert isinstance(x_adv, torch.Tensor if isinstance(images, torch.Tensor) else np.ndarray)
        robust.ThreatModel(norm, 0.1).check(x, torch.as_tensor(x_adv), "a")
        assert not torch.equal(torch.as_tensor(x_adv), x)


def test_an_attack_that_cheats_is_found(network, digits):
    class Cheat(robust.attacks.Attack):
        def __init__(self, model, eps=0.1):
            super().__init__(model)
            self.eps = eps

        def forward(self, images, labels):
            return torch.ones_like(images)

    x, y, _ = digits.test_samples(0, 3)
    with pytest.raises(ThreatModelViolation, match="left the threat model"):
        robust.attack(Cheat, network, x, y, eps=0.1)


def test_an_attack_is_that_of_the_records(network, digits):
    suite = {"PGD": {"class_path": "robust.attacks.PGD", "init_args": {"eps": 0.1}}}
    complete = {"suite": "s", "attacks": suite, "threat_model": {"norm": "Linf", "eps": 0.1}}
    rows = robust.evaluate(network, digits, complete, limit=20, **QUIET).evaluation.select(
        "adaptive", "PGD"
    )
    x, y, _ = digits.test_samples(0, 20)
    x_adv = robust.attack("pgd", network, x, y, eps=0.1)
    predicted = network(x_adv).argmax(dim=1)
    attacked = torch.from_numpy(rows["attacked"].copy())
    assert predicted[attacked].tolist() == rows["adv_pred"][rows["attacked"]].tolist()


def test_what_is_saved_is_loaded(tmp_path, npz):
    data = robust.ImageDataModule(str(npz))
    defense = robust.Codewords(partial(robust.MLP, hidden=16), length=32)
    robust.fit(defense, data, 1, save="runs/mine/a", **QUIET)
    run = robust.load("runs/mine/a")
    x, _, _ = data.test_samples(0, 30)
    assert run.name == "mine/a"
    assert torch.equal(run.network(x), defense(x))
    with pytest.raises(ConfigError, match="new folder to save in"):
        robust.fit(robust.Standard(robust.MLP()), data, 1, save="runs/mine/a", **QUIET)
    result = robust.load("runs/mine/a/checkpoints/last.ckpt").evaluate(limit=5, **QUIET)
    assert command(["runs/mine/a", f"--suite={ROOT}/configs/suites/quick.yaml", "--limit=5"]) == 0
    assert len(list(Path("runs/mine/a/records").glob("*.csv"))) == 1
    assert result.evaluation.notes == []


def test_what_cannot_be_described_is_not_trained(npz, tmp_path):
    data = robust.ImageDataModule(str(npz))
    (tmp_path / "file").touch()
    fit = partial(robust.fit, robust.Standard(robust.MLP(hidden=8)), data, 1)
    with pytest.raises(ConfigError, match="folder that can be written"):
        fit(save="file/a", **QUIET)
    with pytest.raises(ConfigError, match="trainer"):
        fit(save="runs/x/a", accelerator="none")
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    with pytest.raises(ConfigError, match=r"got a Sequential, .* class of your own"):
        robust.fit(robust.Standard(network), data, 1, save="runs/x/a", **QUIET)
    by_function = robust.Codewords(lambda length: robust.MLP(length))
    with pytest.raises(ConfigError, match=r"class or functools\.partial"):
        robust.fit(by_function, data, 1, save="runs/x/a", **QUIET)
    assert not Path("runs").exists()


MOONS = robust.ImageDataModule("moons")


@pytest.mark.parametrize(
    ("make", "sizes"),
    [
        (lambda: robust.Standard(robust.MLP()), {"in_features": 2, "num_classes": 2}),
        (lambda: robust.Distillation(robust.MLP()), {"in_features": 2, "num_classes": 2}),
        (lambda: Plain(robust.MLP()), {"in_features": 2, "num_classes": 2}),
        (lambda: robust.Recall(robust.MLP), {"num_classes": 2, "in_features": 2}),
        (lambda: robust.Codewords(partial(robust.MLP, hidden=8)), {"in_features": 2}),
    ],
)
def test_sizes_that_nobody_gave_are_those_of_the_data(make, sizes):
    defense = make()
    take_sizes(defense, MOONS)
    assert sizes.items() <= given_arguments(defense.network).items()
    defense.check_fit(MOONS.shape, MOONS.num_classes, MOONS.name)


def test_sizes_that_were_given_stay():
    for network in (robust.MLP(in_features=784), robust.MLP(num_classes=10)):
        defense = robust.Standard(network)
        take_sizes(defense, MOONS)
        given = given_arguments(defense.network)
        assert {**given, "in_features": 784, "num_classes": 10}.items() >= given_arguments(
            network
        ).items()
    with pytest.raises(ConfigError, match="does not take them"):
        robust.fit(robust.Standard(robust.MLP(in_features=784)), MOONS, 1, **QUIET)


def test_what_was_set_later_counts():
    defense = robust.Squeezed(robust.MLP(hidden=8), temperature=20.0)
    defense.temperature = 50.0
    assert given_arguments(defense)["temperature"] == 50.0
    defense.optimizer = torch.optim.SGD
    take_sizes(defense, MOONS)
    assert (defense.temperature, defense.optimizer) == (50.0, torch.optim.SGD)
    assert defense.network(torch.rand(1, 1, 1, 2)).shape == (1, 2)
    assert set(given_arguments(robust.Squeezed(robust.MLP()))) == {"network"}


def test_weights_that_were_set_stay():
    network = robust.MLP()
    network.load_state_dict(robust.MLP().state_dict())
    defense = robust.Standard(network)
    take_sizes(defense, MOONS)
    assert defense.network is network
    untouched = robust.Standard(robust.ResNet(depth=8))  # moved to channels last
    take_sizes(untouched, robust.ImageDataModule("digits"))
    assert given_arguments(untouched.network)["in_channels"] == 1


def test_a_network_on_its_own_stays_at_its_default():
    assert robust.MLP()(torch.rand(1, 1, 28, 28)).shape == (1, 10)
    assert given_arguments(robust.MLP(5, layers=1)) == {"num_classes": 5, "layers": 1}


def test_the_stored_description_holds_the_sizes(tmp_path):
    robust.fit(robust.Standard(robust.MLP(hidden=8)), MOONS, 1, save="runs/moons/a", **QUIET)
    network = robust.load("runs/moons/a").network.network
    expected = {"hidden": 8, "in_features": 2, "num_classes": 2}
    assert expected.items() <= given_arguments(network).items()
    robust.fit(robust.load("runs/moons/a").network, MOONS, 1, save="runs/moons/b", **QUIET)
    assert expected.items() <= given_arguments(robust.load("runs/moons/b").network.network).items()
    assert "in_features: 2" in Path("runs/moons/a/config.yaml").read_text()


def bad(call):
    with pytest.raises(ConfigError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) <= 300
    return message


def test_bad_input_is_one_line(network, digits):
    x, y, _ = digits.test_samples(0, 4)
    attack = partial(robust.attack, "pgd", network)
    assert "Did you mean PGD" in bad(lambda: robust.attack("pgdd", network, x, y))
    assert "Did you mean steps" in bad(lambda: attack(x, y, step=3))
    assert "class of an attack" in bad(lambda: robust.attack(robust.MLP, network, x, y))
    assert "class of an attack" in bad(lambda: robust.attack(3, network, x, y))
    assert "(N, C, H, W)" in bad(lambda: attack(x[0], y))
    assert "in [0, 1]" in bad(lambda: attack(2 * x, y))
    assert "uint8 or of floating" in bad(lambda: attack(x.long(), y))
    assert "one label for each" in bad(lambda: attack(x, y[:2]))
    assert "integer labels" in bad(lambda: attack(x, y.float()))
    assert "10 classes" in bad(lambda: attack(x, y + 10))
    assert "10 classes" in bad(lambda: attack(x, y, target=10))
    assert "array of numbers" in bad(lambda: attack("x", y))
    assert "does not take those of shape" in bad(lambda: attack(x[..., :3], y))
    assert "`view` to be one of" in bad(lambda: attack(x, y, view="adaptiv"))
    assert "number such as 8 / 255" in bad(lambda: attack(x, y, eps="8/255"))
    assert "at most 1" in bad(lambda: attack(x, y, eps=8))
    assert "bounds L2" in bad(lambda: robust.attack("cw", network, x, y, norm="Linf"))
    assert "robust.Standard(network)" in bad(lambda: robust.fit(nn.Linear(1, 1), digits))
    assert "ImageDataModule" in bad(lambda: robust.fit(network, "digits"))
    assert "max_epochs" in bad(lambda: robust.fit(network, digits, 0))
    assert "trainer" in bad(lambda: robust.fit(network, digits, 1, accelerator="none"))
    evaluate = partial(robust.evaluate, network, digits)
    assert "Did you mean quick" in bad(lambda: evaluate("quik"))
    assert "No such file" in bad(lambda: evaluate("none.yaml"))
    assert "limit" in bad(lambda: evaluate(limit=0))
    assert "views" in bad(lambda: evaluate(views=["sideways"]))
    assert "mapping of `attacks`" in bad(lambda: evaluate({"attacks": {}}))
    assert "multiples of 1/255" in bad(lambda: robust.evaluate(network, ((x + 1e-3).clip(0, 1), y)))
    assert "no checkpoints" in bad(lambda: robust.load("."))
    assert "such file" in bad(lambda: robust.load("none.ckpt"))
    assert bad(lambda: robust.evaluate(robust.Standard(OneLogit()), digits, limit=2))


@pytest.mark.parametrize("path", ["", None, 5, ["runs"]])
def test_what_is_no_path(network, path):
    with pytest.raises(ConfigError, match="Expected the path of a folder or a file"):
        robust.load(path)
    with pytest.raises(ConfigError, match="Expected the path of a folder or a file"):
        robust.fit(network, robust.ImageDataModule("digits"), 1, save=path or "")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 28, 28, 1), "channels before height and width"),
        (torch.zeros(2, 32, 32, 3), "channels before height and width"),
        (torch.zeros(0, 1, 28, 28), "images in `x`, but got none"),
        (torch.full((2, 1, 28, 28), torch.nan), "not finite"),
    ],
)
def test_what_are_no_images(network, x, message):
    with pytest.raises(ConfigError, match=message):
        robust.attack("fgsm", network, x, torch.zeros(len(x), dtype=torch.int64))


def test_a_view_that_is_named_twice_counts_once(network, digits):
    twice = {"views": ["deployed", "deployed"], "attacks": ["fgsm"], "limit": 6}
    result = robust.evaluate(network, digits, "quick", progress=False, **twice)
    assert len(result.evaluation.rows) == 6
