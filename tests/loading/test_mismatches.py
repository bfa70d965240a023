"""Which runs stand beside the numbers of a paper: those on its data, of its network and epochs."""

import shutil

import pytest
import torch
import yaml

from robust.commands.evaluate import evaluate
from robust.errors import ConfigError
from robust.loading.classes import imported_kind, kind_in_source
from robust.loading.mismatches import check_matches, heading, mismatch_notes, mismatches
from robust.loading.paper_tables import PaperTable, read_table
from robust.loading.trained_run import trained_epochs
from robust.report.papers import papers_of
from robust.report.protocols import protocols
from robust.results.run_folder import RunFiles
from tests.support.factories import evaluation, info
from tests.support.papers import PAPERS, TABLES
from tests.support.tiny import ROOT

SAITO = TABLES["saito2018_table3_mnist"]
DENSE = {"class_path": "robust.networks.DenseNet", "init_args": {"depth": 40, "growth": 12}}


def described(network=DENSE, data="mnist", epochs=300, kind="Standard", **arguments):
    """What is known of a run."""
    model = {
        "class_path": f"robust.defenses.{kind}",
        "init_args": {"network": network, **arguments},
    }
    return {
        "model": model,
        "data": {"class_path": "robust.data.ImageDataModule"},
        "data_set": data,
        "epochs": epochs,
    }


STRANGER = {"class_path": "somebody.Wrapped", "init_args": {"file": "net.pth"}}


@pytest.mark.parametrize("kind_of", [imported_kind, kind_in_source])
@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (described(), []),
        (described("robust.networks.DenseNet"), []),
        (
            described("robust.networks.TunaMnistCNN"),
            ["network: TunaMnistCNN, where the table is of DenseNet(depth=40, growth=12)"],
        ),
        (
            described({"class_path": "robust.networks.DenseNet", "init_args": {"depth": 22}}),
            ["network: DenseNet(depth=22), where the table is of DenseNet(depth=40, growth=12)"],
        ),
        (
            described(STRANGER, epochs=None),
            [
                "network: Wrapped, where the table is of DenseNet(depth=40, growth=12)",
                "epochs: unknown, where the table is of 300",
            ],
        ),
        (
            described(None),
            ["network: unknown, where the table is of DenseNet(depth=40, growth=12)"],
        ),
        (described(data="fashion_mnist"), ["data: fashion_mnist, where the table is of mnist"]),
        (described(data=None), ["data: unknown, where the table is of mnist"]),
        (described(epochs=10), ["epochs: 10, where the table is of 300"]),
        (described(epochs=0), ["epochs: 0, where the table is of 300"]),
    ],
)
def test_in_what_a_run_differs(run, expected, kind_of):
    table = read_table(SAITO, kind_of)
    found = mismatches(table, "cross_entropy", run, kind_of)
    assert list(map(str, found)) == expected


def test_a_column_may_have_a_network_and_epochs_of_its_own():
    table = read_table(TABLES["tuna2022_table3"])
    cnn = {"class_path": "robust.networks.TunaCifarCNN"}
    small = {**cnn, "init_args": {"dropout": 0.05}}
    usual = {**cnn, "init_args": {"dropout": 0.5}}
    assert not mismatches(table, "sigmoid", described(small, "cifar10", 50, "Squeezed"))
    (found,) = mismatches(table, "tanh", described(small, "cifar10", 50, "Squeezed"))
    assert (found.found, found.wanted) == (
        "TunaCifarCNN(dropout=0.05)",
        "TunaCifarCNN(dropout=0.25)",
    )
    assert not mismatches(table, "distilled", described(usual, "cifar10", 100, "Distillation"))
    assert mismatches(table, "distilled", described(usual, "cifar10", 50, "Distillation"))


@pytest.mark.parametrize("path", TABLES.values(), ids=TABLES)
def test_every_table_says_what_its_networks_are(path):
    table = read_table(path, kind_in_source)
    assert table["data"] in ("mnist", "fashion_mnist", "cifar10")
    assert mismatch_notes(table, {}) == []
    for name in ("fashion_mnist", "cifar10", "mnist"):
        if name in path.stem:
            assert table["data"] == name
            break


def of_config(name):
    """What a run of a config of this repository will be."""
    path = next(ROOT.glob(f"{name}.yaml"), ROOT / "configs" / f"{name}.yaml")
    config = yaml.safe_load(path.read_text())
    data = yaml.safe_load((path.parent / config["data"]).read_text())
    epochs = config["trainer"]["max_epochs"]
    dataset = data["init_args"]["dataset"]
    arguments = config["model"]["init_args"]
    if "Zantedeschi" in str(arguments["network"]) and isinstance(arguments["network"], str):
        # As train.py fills it in.
        activation = {"activation": {"class_path": "torch.nn.ReLU"}}
        arguments["network"] = {"class_path": arguments["network"], "init_args": activation}
    return {"model": config["model"], "data": data, "data_set": dataset, "epochs": epochs}


TUNA, WANG, ZANTEDESCHI, PARANJAPE = (
    f"papers/{name}/configs"
    for name in ("tuna2022", "wang2018", "zantedeschi2017", "paranjape2020")
)


@pytest.mark.parametrize(
    ("number", "configs"),
    [
        ("tuna2022_table2", ["standard", "distillation", "squeezed", f"{TUNA}/mnist_sigmoid"]),
        (
            "tuna2022_table3",
            [
                f"{TUNA}/cifar10_{network}"
                for network in ("standard", "distillation", "sigmoid", "tanh")
            ],
        ),
        ("wang2018_table2", [f"{WANG}/softmax_cifar10", f"{WANG}/wnll_cifar10_original_tvm"]),
        ("zantedeschi2017_table1", [f"{ZANTEDESCHI}/cnn", f"{ZANTEDESCHI}/resnet", "brelu"]),
        ("zantedeschi2017_table4", ["gda", "brelu_gda", "label_smoothing", f"{ZANTEDESCHI}/vat"]),
        ("paranjape2020_table1", ["ibol", "iboi", "inoi", "cdr", f"{PARANJAPE}/mlp_tvm"]),
    ],
)
def test_configs_of_a_paper_match_its_tables(number, configs):
    runs = {name: of_config(name) for name in configs}
    table = table_of(runs, TABLES[number])
    assert set(table.columns.values()) == set(runs)
    assert check_matches(table, runs, loose=False) == {}


def table_of(runs, path=SAITO):
    return PaperTable.load(path, runs)


def test_runs_that_match_are_taken_without_a_word():
    runs = {"a": described(), "b": described(loss="mse")}
    assert check_matches(table_of(runs), runs, loose=False) == {}


@pytest.mark.parametrize("loose", [False, True])
def test_other_data_is_refused_always(loose):
    runs = {"a": described(), "b": described(loss="mse", data="fashion_mnist")}
    with pytest.raises(ConfigError, match="data: fashion_mnist, where the table is of mnist") as e:
        check_matches(table_of(runs), runs, loose=loose)
    assert "b" in str(e.value)
    assert len(str(e.value)) <= 300


def test_another_network_and_other_epochs_are_refused_unless_asked_for():
    runs = {"a": described("robust.networks.MLP", epochs=10), "b": described(loss="mse", epochs=9)}
    with pytest.raises(ConfigError, match=r"a, and 1 more with network: MLP, .*--loose"):
        check_matches(table_of(runs), runs, loose=False)
    found = check_matches(table_of(runs), runs, loose=True)
    assert heading(found) == "does not match: network, epochs"
    assert mismatch_notes(read_table(SAITO), found) == [
        "cross_entropy: does not match: network: MLP, where the table is of "
        "DenseNet(depth=40, growth=12); epochs: 10, where the table is of 300.",
        "mse: does not match: epochs: 9, where the table is of 300.",
    ]


def test_runs_of_no_column_are_refused_if_there_is_none_else():
    runs = {"a": described(kind="Trades")}
    with pytest.raises(ConfigError, match=r"a column of Saito .* but got a \(Trades\)"):
        check_matches(table_of(runs), runs, loose=True)
    both = {**runs, "b": described()}
    assert check_matches(table_of(both), both, loose=False) == {}
    other = {**both, "a": described(kind="Trades", data="cifar10")}
    with pytest.raises(ConfigError, match="data: cifar10"):
        check_matches(table_of(other), other, loose=True)


def test_what_a_table_does_not_say_is_named():
    table = {"columns": {"a": {"class_path": "robust.defenses.Standard"}}}
    assert not mismatches(table, "a", described())
    assert mismatch_notes(table, {}) == [
        "Not compared, since the table does not say it: data, network, epochs."
    ]
    table |= {"data": "mnist", "network": None, "epochs": None}
    assert mismatch_notes(table, {}) == []
    assert not mismatches(table, "a", described(STRANGER, epochs=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": ["mnist"]}, r"`data` of table .* got \['mnist'\]"),
        ({"epochs": "20"}, "`epochs` of table .* got '20'"),
        ({"epochs": 0}, "`epochs` of table .* got 0"),
        ({"epochs": True}, "`epochs` of table .* got True"),
        ({"network": "robust.networks.DenseNetz"}, "DenseNetz"),
        ({"network": {"init_args": {}}}, "`network` of table .* lacks class_path"),
        (
            {"network": {"class_path": "robust.networks.DenseNet", "init_args": {"dept": 4}}},
            "'dept'. Did you mean depth",
        ),
        ({"network": 3}, "`network` of table .* a mapping, but got 3"),
    ],
)
@pytest.mark.parametrize("kind_of", [imported_kind, kind_in_source])
def test_bad_facts(change, message, kind_of, tmp_path):
    table = yaml.safe_load(SAITO.read_text())
    table["suite"] = str((SAITO.parent / table["suite"]).resolve())
    path = tmp_path / "table.yaml"
    path.write_text(yaml.safe_dump({**table, **change}))
    with pytest.raises(ConfigError, match=message):
        read_table(path, kind_of)
    if "epochs" in change:
        table["columns"]["mse"] |= change
        path.write_text(yaml.safe_dump(table))
        with pytest.raises(ConfigError, match="`epochs` of column 'mse'"):
            read_table(path, kind_of)


def test_a_transfer_network_is_of_the_tables_data():
    table = PaperTable.load(TABLES["saito2018_table6_mnist"], {})
    table.check_source(given=True, data="mnist")
    with pytest.raises(ConfigError, match="data: fashion_mnist, where the table is of mnist"):
        table.check_source(given=True, data="fashion_mnist")


def checkpoint(path, processed=None):
    current = {"processed": processed, "completed": 0}
    loops = {"loops": {"fit_loop": {"epoch_progress": {"current": current}}}}
    torch.save({"state_dict": {}, **(loops if processed is not None else {})}, path)
    return path


def test_epochs_are_those_of_the_training(tmp_path):
    best, last = checkpoint(tmp_path / "best.ckpt", 7), tmp_path / "last.ckpt"
    assert trained_epochs(best) == 7
    checkpoint(last, 20)
    assert trained_epochs(best) == trained_epochs(last) == 20
    assert trained_epochs(checkpoint(tmp_path / "epoch.ckpt", 3)) == 3
    assert trained_epochs(checkpoint(tmp_path / "foreign.ckpt")) is None
    assert trained_epochs(checkpoint(tmp_path / "odd.ckpt", "many")) is None


def run_of(name, network=DENSE, epoch=299, data="mnist", n=20):
    """A run as its folder says it, attacked with the suite of Saito's Table 3."""
    config = {key: described(network)[key] for key in ("model", "data")}
    made = evaluation({"mim_0.01": info()}, {("published", "mim_0.01"): 2}, n)
    header = made.header.__class__(
        **{**made.header.__dict__, "suite": "saito2018_table3", "data": data}
    )
    found = made.__class__(header, made.rows)
    return RunFiles(ROOT / name, name, config, epoch=epoch, evaluations={ROOT / name: found})


def test_a_page_puts_only_networks_that_match_beside_the_papers_numbers():
    runs = [
        run_of("a/of_the_paper"),
        run_of("b/small", "robust.networks.TunaMnistCNN", 9, n=30),
        run_of("c/stranger", STRANGER, -1, n=40),
    ]
    grids, left_out = papers_of(PAPERS, protocols(runs))
    (grid,) = grids
    assert "does not match" not in grid.title
    assert grid.notes[0].startswith("cross_entropy: a/of_the_paper, n = 20")
    assert [sentence.split(": does not match: ")[0] for sentence in left_out] == [
        "Saito and Roy 2018, Table 3, MNIST, b/small",
        "Saito and Roy 2018, Table 3, MNIST, c/stranger",
    ]
    assert papers_of(PAPERS, protocols(runs[1:])).grids == []


def test_a_page_shows_others_under_does_not_match_if_asked():
    runs = [run_of("b/small", "robust.networks.TunaMnistCNN", 9)]
    ((grid,), left_out) = papers_of(PAPERS, protocols(runs), loose=True)
    assert grid.title.endswith("; does not match: network, epochs")
    assert any(
        note.startswith("cross_entropy: does not match: network: Tuna") for note in grid.notes
    )
    assert not left_out
    assert papers_of(PAPERS, protocols([run_of("d", data="digits")]), loose=True).grids == []


@pytest.fixture
def small_table(suite, tmp_path):
    """A table of the trained runs, after six epochs on bars."""

    def write(**changed):
        table = {
            "title": "A paper",
            "metric": "attack success",
            "suite": str(suite),
            "data": "bars",
            "network": "tests.support.tiny.TinyNetwork",
            "epochs": 6,
            "columns": {"normal": {"class_path": "robust.defenses.Standard"}},
            "clean_acc": {"normal": 99},
            "rows": {"FGSM": {"attack": "fgsm", "published": {"normal": 9.75}}},
            **changed,
        }
        path = tmp_path / "table.yaml"
        path.write_text(yaml.safe_dump(table))
        return str(path)

    return write


@pytest.fixture
def standard(trained, tmp_path):
    return str(shutil.copytree(trained["standard"], tmp_path / "runs" / "standard" / "a"))


@pytest.mark.usefixtures("quiet")
def test_the_command_refuses_before_it_attacks(small_table, standard, capsys):
    command = [standard, "--table", small_table(data="mnist"), "--limit=8", "--loose"]
    assert evaluate(command) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert "standard/a with data: bars, where the table is of mnist" in printed.err
    assert "Attack success" not in printed.out
    command = [standard, "--table", small_table(epochs=20, network="robust.networks.MLP")]
    assert evaluate([*command, "--limit=8"]) == 2
    printed = capsys.readouterr()
    assert "network: TinyNetwork, where the table is of MLP; epochs: 6, where" in printed.err
    assert evaluate([*command, "--limit=8", "--loose"]) == 0
    printed = capsys.readouterr().out
    assert "A paper (attack success, %); does not match: network, epochs" in printed


@pytest.mark.usefixtures("quiet")
def test_the_command_compares_what_matches(small_table, standard, suite, capsys, tmp_path):
    table, other = small_table(), tmp_path / "other.yaml"
    assert evaluate([standard, "--table", table, "--limit=8"]) == 0
    assert "does not match" not in capsys.readouterr().out
    other.write_text(suite.read_text().replace("suite: tiny", "suite: other"))
    assert evaluate([standard, "--table", table, "--limit=8", "--suite", str(other)]) == 0
    assert "Attacked with suite other instead of tiny." in capsys.readouterr().out
