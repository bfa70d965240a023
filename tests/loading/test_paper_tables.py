"""Tables of papers: what their files say, and which run is which of their columns."""

import pytest
import torch
import yaml

from robust.errors import ConfigError
from robust.loading.classes import imported_kind, kind_in_source
from robust.loading.paper_tables import PaperTable, is_column, match_columns, read_table
from robust.loading.trained_run import describe
from tests.support.papers import TABLES

RELU, BRELU = "torch.nn.ReLU", "robust.networks.BReLU"


def zantedeschi(number):
    return read_table(TABLES[f"zantedeschi2017_table{number}"])


@pytest.mark.parametrize(
    ("number", "row", "column", "value"),
    [
        (1, "FGSM from CNN + BReLU", "cnn", 94),
        (1, "FGSM from ResNet + ReLU", "resnet_brelu", 75.94),
        (1, "FGSM from ResNet + BReLU", "resnet", 78.7),
        (2, "accuracy, %", "feature_squeezing", 35.61),
        (2, "empirical robustness", "gda", 0.44),
        (2, "training-set distance", "vat", 6.64),
        (3, "loss sensitivity", "label_smoothing", 0.2289),
        (3, "loss sensitivity", "gda", 0.0244),
        (4, "FGSM eps = 0.1", "fgsm_static", 91.86),
        (4, "Random+FGSM eps = 0.3", "gda", 80.25),
        (4, "C&W", "brelu_gda", 98.03),
        (5, "FGSM eps = 0.1", "vat", 44.16),
        (5, "Random+FGSM eps = 0.1", "cnn", 57.22),
        (5, "JSMA", "brelu_gda", 74.73),
    ],
)
def test_numbers_of_zantedeschi_et_al(number, row, column, value):
    assert zantedeschi(number)["rows"][row]["published"][column] == value


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_zantedeschi_et_al_print_every_cell(number):
    table = zantedeschi(number)
    for row in table["rows"].values():
        assert list(row["published"]) == list(table["columns"])
        assert None not in row["published"].values()


def object_(path, **arguments):
    return {"class_path": path, "init_args": arguments}


def run(kind="Standard", network="ZantedeschiCNN", activation=RELU, sigma=None, **arguments):
    """What a checkpoint of a run says, as `train.py` writes it."""
    layers = object_(f"robust.networks.{network}", activation=object_(activation))
    noise = sigma and {"copies": 10, "sigma": sigma, "clip": False, "fresh": False}
    model = object_(f"robust.defenses.{kind}", network=layers, **arguments)
    return {"model": model, "data": object_("robust.data.ImageDataModule", augmentation=noise)}


SQUEEZE = object_("robust.transforms.FeatureSqueezing", bits=1)
RUNS = {
    "cnn": run(loss="cross_entropy", transform=None),
    "squeezed": run(transform=SQUEEZE),
    "smoothed": run("LabelSmoothing"),
    "static": run("AdversarialTraining", attack=object_("robust.attacks.FGSM", eps=0.3)),
    "virtual": run(
        "AdversarialTraining", attack=object_("robust.defenses.VirtualAdversarialImages", eps=2.1)
    ),
    "noisy": run(sigma=0.3),
    "noisy brelu": run(sigma=0.3, activation=BRELU),
    "brelu": run(activation=BRELU),
    "resnet": run(network="ZantedeschiResNet"),
    "resnet brelu": run(network="ZantedeschiResNet", activation=BRELU),
    "less noisy": run(sigma=0.1),
    "mse": run(loss="mse"),
    "pgd": run("AdversarialTraining", attack=object_("robust.attacks.PGD")),
    "virtual regularized": run("VirtualAdversarial"),
    "two bits": run(transform=object_("robust.transforms.FeatureSqueezing", bits=2)),
}


@pytest.mark.parametrize("number", [2, 3, 4])
def test_columns_are_told_apart_by_what_is_inside(number):
    assert match_columns(zantedeschi(number), RUNS) == {
        "cnn": "cnn",
        "feature_squeezing": "squeezed",
        "label_smoothing": "smoothed",
        "fgsm_static": "static",
        "vat": "virtual",
        "gda": "noisy",
        "brelu_gda": "noisy brelu",
    }


def wang(kind, mode):
    """As a config is saved: a training set is of one class, so its arguments stand alone."""
    total = object_("robust.transforms.TotalVariation", strength=0.03, drop=0.5, iterations=200)
    images = mode and {"transform": total, "mode": mode, "cache": None}
    model = object_(f"robust.defenses.{kind}", transform=None)
    return {"model": model, "data": object_("robust.data.ImageDataModule", training_set=images)}


@pytest.mark.parametrize("kind_of", [imported_kind, kind_in_source])
@pytest.mark.parametrize("number", [1, 2])
def test_columns_are_told_apart_by_what_a_network_was_trained_on(number, kind_of):
    columns = read_table(TABLES[f"wang2018_table{number}"], kind_of)["columns"]
    modes = {"": None, "_tvm": "transformed", "_original_tvm": "original+transformed"}
    for kind, name in (("Standard", "softmax"), ("WNLL", "wnll")):
        for suffix, mode in modes.items():
            run = wang(kind, mode)
            found = [column for column in columns if is_column(columns[column], run, kind_of)]
            assert found == [f"{name}{suffix}"]


def test_columns_of_the_transfer_table():
    columns = {"cnn": "cnn", "cnn_brelu": "brelu"}
    columns |= {"resnet": "resnet", "resnet_brelu": "resnet brelu"}
    assert match_columns(zantedeschi(1), RUNS) == columns


def test_an_argument_that_a_run_does_not_say_is_at_its_default():
    table = {"title": "t", "columns": {"a": object_("robust.defenses.Standard", loss="mse")}}
    assert match_columns(table, {"cnn": run(), "other": RUNS["mse"]}) == {"a": "other"}
    table = {
        "title": "t",
        "columns": {"a": object_("robust.defenses.Standard", loss="cross_entropy")},
    }
    assert match_columns(table, {"cnn": run(), "other": RUNS["mse"]}) == {"a": "cnn"}


@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize("name", RUNS)
def test_source_says_of_columns_what_imported_classes_say(number, name):
    columns = zantedeschi(number)["columns"]
    found, wanted = (
        [column for column, described in columns.items() if is_column(described, RUNS[name], kind)]
        for kind in (kind_in_source, imported_kind)
    )
    assert found == wanted


def test_two_runs_of_one_column_are_refused():
    with pytest.raises(ConfigError, match=r"one run for column 'gda' of .*, but got a and b"):
        match_columns(zantedeschi(4), {"a": RUNS["noisy"], "b": RUNS["noisy"]})


def test_a_changed_argument_is_what_the_run_is(tmp_path):
    path = tmp_path / "net.ckpt"
    torch.save({"state_dict": {}, "robust": RUNS["cnn"]}, path)
    assert describe(path, {"loss": "mse", "no_argument": 1})["model"] == object_(
        "robust.defenses.Standard", **{**RUNS["cnn"]["model"]["init_args"], "loss": "mse"}
    )
    table = PaperTable.load(TABLES["zantedeschi2017_table4"], {"a/1": describe(path, {})})
    assert table.columns == {"cnn": "a/1"}
    assert table.of_columns({"a/1": 3}) == {"cnn": 3}
    assert table.suite("adaptive_suite").is_file()
    other = PaperTable.load(table.path, {"a/1": describe(path, {"loss": "mse"})})
    assert not other.columns
    assert other.notes == ["No column of this table: a/1."]


@pytest.mark.parametrize(
    ("number", "given", "message"),
    [(4, False, "Expected --transfer-from with"), (1, True, "Expected no --transfer-from with")],
)
def test_what_attacks_are_crafted_on_is_said_once(number, given, message):
    table = PaperTable.load(TABLES[f"zantedeschi2017_table{number}"], {})
    with pytest.raises(ConfigError, match=message):
        table.check_source(given=given)
    table.check_source(given=not given)


def bad(number, tmp_path, change):
    """A table of the paper with one change, beside copies of nothing: its suites are absolute."""
    original = TABLES[f"zantedeschi2017_table{number}"]
    table = yaml.safe_load(original.read_text())
    for key in {"suite", "adaptive_suite"} & set(table):
        table[key] = str((original.parent / table[key]).resolve())
    change(table, next(iter(table["rows"].values())))
    path = tmp_path / "table.yaml"
    path.write_text(yaml.safe_dump(table))
    return path


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (4, lambda table, row: table.pop("suite"), r"a table in .*, but it lacks suite"),
        (2, lambda table, row: table.pop("rows"), r"but it lacks rows"),
        (4, lambda table, row: table.update(columns=[1]), r"`columns` of .* to be a mapping"),
        (4, lambda table, row: table["columns"]["vat"].pop("class_path"), r"column 'vat' .* class"),
        (
            4,
            lambda table, row: table["columns"]["cnn"]["init_args"].update(
                transform={"class_path": "robust.transforms.Squeeze"}
            ),
            r"a class in the table, but got 'robust\.transforms\.Squeeze'",
        ),
        (
            4,
            lambda table, row: table["columns"]["cnn"].update(class_path="robust.attacks.craft"),
            r"got 'robust\.attacks\.craft'\. Name a class",
        ),
        (
            4,
            lambda table, row: table["columns"]["cnn"]["init_args"].update(netwrok=None),
            r"but got 'netwrok'\. Did you mean network\?",
        ),
        (4, lambda table, row: row.pop("attack"), r"row '.*' of .*, but it lacks attack"),
        (4, lambda table, row: row.update(attack="pgd"), r"name attacks of .*, but got 'pgd'"),
        (4, lambda table, row: row.update(adaptive=["cw"]), r"name attacks of .*, but got 'cw'"),
        (4, lambda table, row: table.pop("adaptive_suite"), r"but it lacks adaptive_suite"),
        (
            4,
            lambda table, row: table.update(metric="attack success"),
            r"`adaptive` in tables of robust accuracy alone",
        ),
        (4, lambda table, row: row["published"].update(at=1), r"columns of the table .* got 'at'"),
        (1, lambda table, row: row.update(crafted_on="densenet"), r"got 'densenet'"),
        (2, lambda table, row: row.update(measure="speed"), r"`measure` of row .* got 'speed'"),
    ],
)
def test_bad_tables(number, change, message, tmp_path):
    path = bad(number, tmp_path, change)
    with pytest.raises(ConfigError, match=message):
        read_table(path)
    if "Name a class" not in message:  # what is a function and what a class is not looked up
        with pytest.raises(ConfigError, match=message):
            read_table(path, kind_in_source)


@pytest.mark.parametrize("odd", [None, [], 5, "a"])
@pytest.mark.parametrize("place", ["column", "network"])
def test_arguments_of_a_class_are_a_mapping(tmp_path, odd, place):
    path = tmp_path / "table.yaml"
    column = {"class_path": "robust.defenses.Standard", "init_args": odd}
    if place == "network":
        column = {**column, "init_args": {"network": {**column, "class_path": "torch.nn.ReLU"}}}
    table = {"title": "t", "metric": "robustness", "columns": {"a": column}, "rows": {}}
    path.write_text(yaml.safe_dump(table))
    with pytest.raises(ConfigError, match=r"Expected `init_args` of .* to be a mapping, but got"):
        read_table(path)
