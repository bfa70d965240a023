import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

import robust.evaluation.callback
from robust.attacks import craft
from robust.compare import evaluate
from robust.defenses import Distillation, Squeezed, Standard
from robust.errors import ConfigError
from robust.evaluation.metrics import success_rate, worst_robust_accuracy
from robust.evaluation.records import read_evaluation
from robust.papers import match_columns, read_table
from robust.parsing import restore
from robust.subjects import Subject, find_checkpoint
from tests.tiny import ROOT, TinyNet

pytestmark = pytest.mark.usefixtures("quiet")
SUITE = ROOT / "configs/suites/quick.yaml"
TIMINGS = ("forwards", "seconds")


@pytest.fixture
def runs(trained, tmp_path):
    """Copies of the trained runs without records, to write into."""
    copies = {}
    for name, folder in trained.items():
        copies[name] = tmp_path / "runs" / name / "a"
        shutil.copytree(folder, copies[name], ignore=shutil.ignore_patterns("records"))
    return copies


@pytest.fixture
def crafted(monkeypatch):
    """A list that grows by the name of the attack whenever one is run."""
    calls = []

    def counted(attack, *args, **kwargs):
        calls.append(attack)
        return craft(attack, *args, **kwargs)

    monkeypatch.setattr(robust.evaluation.callback, "craft", counted)
    return calls


def run(*args):
    assert evaluate([str(arg) for arg in args]) == 0


def table_of(capsys):
    """What was printed on standard output, without the progress bar."""
    printed = capsys.readouterr().out
    return printed[printed.index("Attack success") :]


def records(folder):
    (path,) = (folder / "records").glob("*.csv")
    return path


def rows(path):
    drop = dict.fromkeys(TIMINGS, 0.0)
    return [row._replace(**drop) for row in read_evaluation(path).rows]


def test_what_is_on_record_is_not_attacked_again(runs, suite, crafted, capsys):
    run(runs["squeezed"], "--suite", suite)
    attacks, first = len(crafted), table_of(capsys)
    assert attacks == 3 * 2 * 4  # attacks, views, blocks
    written = records(runs["squeezed"]).read_text()
    run(runs["squeezed"], "--suite", suite)
    assert len(crafted) == attacks
    assert table_of(capsys) == first
    assert records(runs["squeezed"]).read_text() == written


def test_a_larger_limit_only_adds(runs, suite, crafted):
    run(runs["squeezed"], "--suite", suite, "--limit", 8)
    small = rows(records(runs["squeezed"]))
    assert len(crafted) == 3 * 2
    run(runs["squeezed"], "--suite", suite)
    assert len(crafted) == 3 * 2 * 4
    large = rows(records(runs["squeezed"]))
    assert [row for row in large if row.index < 8] == small
    run(runs["squeezed"], "--suite", suite, "--limit", 8)
    assert len(crafted) == 3 * 2 * 4
    assert rows(records(runs["squeezed"])) == large


def test_a_torn_part_is_completed(runs, suite, crafted):
    folder = runs["squeezed"]
    run(folder, "--suite", suite)
    whole, done = rows(records(folder)), len(crafted)
    path = records(folder)
    header, *lines = path.read_text().splitlines(keepends=True)
    # The first two attacks through one view, and half a row of the third.
    kept = [line for line in lines if re.match(r"adaptive,(fgsm|pgd),", line)]
    torn = next(line for line in lines if line.startswith("adaptive,square,"))
    path.with_name(f"{path.stem}.part0.csv").write_text("".join(kept) + torn[: len(torn) // 2])
    path.unlink()
    assert header.startswith("view,")
    run(folder, "--suite", suite)
    assert len(crafted) - done == done - 2 * 4
    assert rows(records(folder)) == whole
    assert not list(folder.glob("records/*.part*"))


def test_printed_numbers_are_those_of_the_records(runs, suite, tmp_path, capsys):
    output = tmp_path / "table.md"
    run(*runs.values(), "--suite", suite, "--output", output)
    assert table_of(capsys).count("clean acc") == 1
    text = output.read_text()
    cells = {
        line.split(" | ")[0].removeprefix("| "): [c.strip(" |") for c in line.split(" | ")[1:]]
        for line in text.splitlines()
        if line.startswith("| ")
    }
    assert set(cells) == {"run", "---", "squeezed/a", "standard/a"}
    for name, folder in runs.items():
        evaluation = read_evaluation(records(folder))
        row = dict(zip(cells["run"], cells[f"{name}/a"], strict=True))
        views = [view for view in row["view"].split("<br>") if view]
        assert views == ["deployed", "adaptive"]
        for attack, info in evaluation.header.attacks.items():
            expected = [success_rate(evaluation.select(view, attack), info) for view in views]
            assert row[attack].split("<br>")[::2] == [f"{100 * r.value:.1f}" for r in expected]
        worst = [worst_robust_accuracy(evaluation, view) for view in views]
        assert row["robust acc"].split("<br>")[::2] == [f"{100 * r.value:.1f}" for r in worst]


def test_one_view_and_devices(runs, suite):
    run(runs["squeezed"], "--suite", suite, "--view", "deployed")
    assert {row.view for row in rows(records(runs["squeezed"]))} == {"deployed"}


def test_transfer(runs, suite, crafted):
    run(runs["squeezed"], "--suite", suite, "--transfer-from", runs["standard"])
    path = records(runs["squeezed"])
    assert {row.view for row in rows(path)} == {"transfer"}
    assert json.loads(path.with_suffix(".json").read_text())["source_sha256"]
    assert len(crafted) == 3 * 4
    run(runs["squeezed"], "--suite", suite)
    assert len(list(path.parent.glob("*.csv"))) == 2


def test_a_transfer_net_of_another_shape_is_one_line(runs, suite, monkeypatch, capsys):
    def refuse(self, shape, num_classes, name):
        raise ConfigError(f"Expected a network for {shape}")

    monkeypatch.setattr(Standard, "check_fit", refuse)
    args = [str(runs["squeezed"]), f"--suite={suite}", f"--transfer-from={runs['standard']}"]
    assert evaluate(args) == 2
    assert capsys.readouterr().err.count("error: Expected a network for") == 1


def test_a_checkpoint_outside_a_run(runs, suite, tmp_path, capsys):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        shutil.copy(find_checkpoint(runs["squeezed"]), tmp_path / folder / "net.ckpt")
    run(tmp_path / "x" / "net.ckpt", tmp_path / "y" / "net.ckpt", "--suite", suite)
    printed = table_of(capsys)
    assert "x/net.ckpt" in printed
    assert "y/net.ckpt" in printed
    assert records(tmp_path / "x").is_file()


def test_figures(runs, suite, capsys):
    run(runs["squeezed"], "--suite", suite, "--limit", 8, "--figures")
    shown = re.findall(r"Figure: (\S+\.png)", capsys.readouterr().out.replace("\n", ""))
    assert shown
    assert list((runs["squeezed"] / "figures").glob("*.png"))


def shown(capsys):
    """Names of the files that were said to be drawn, which are there."""
    printed = capsys.readouterr().out.replace("\n", " ")
    paths = [Path(path) for path in re.findall(r"Figure: (\S+\.png)", printed)]
    assert all(path.is_file() for path in paths)
    return [str(path.relative_to(path.parents[3])) for path in paths]


@pytest.fixture
def eps_suite(tmp_path):
    path = tmp_path / "eps.yaml"
    path.write_text(
        "suite: eps\n"
        "threat_model: {norm: Linf, eps: 0.3}\n"
        "threat_models: {pgd_0.1: {norm: Linf, eps: 0.1}}\n"
        "attacks:\n"
        "  pgd_0.1: {class_path: robust.attacks.PGD, init_args: {eps: 0.1, steps: 2}}\n"
        "  pgd_0.3: {class_path: robust.attacks.PGD, init_args: {eps: 0.3, steps: 2}}\n"
        "limit: 8\n"
    )
    return path


def test_accuracy_against_eps_and_grids_of_images(runs, eps_suite, capsys):
    run(*runs.values(), "--suite", eps_suite, "--figures", "--grid", "pgd")
    drawn = shown(capsys)
    for name in runs:
        assert f"{name}/a/figures/accuracy_eps.png" in drawn
    first = next(iter(runs))
    assert drawn[-2:] == [
        f"{first}/a/figures/accuracy_eps_compared.png",
        f"{first}/a/figures/adversarials_eps_pgd.png",
    ]


def test_a_suite_of_one_eps_has_no_curve(runs, suite, capsys):
    run(runs["standard"], "--suite", suite, "--limit", 8, "--figures")
    assert shown(capsys) == [
        "standard/a/figures/loss_surfaces.png",
        "standard/a/figures/scores.png",
    ]


def test_the_grid_is_of_an_attack_of_the_suite(runs, eps_suite, crafted, capsys):
    args = [str(runs["standard"]), f"--suite={eps_suite}", "--grid=fgsm"]
    assert evaluate(args) == 2
    assert "an attack of suite eps, but got 'fgsm'" in capsys.readouterr().err
    assert not crafted


def test_the_grid_takes_runs_on_one_data_set(runs, eps_suite, crafted, monkeypatch, capsys):
    of = Subject.of

    def renamed(path, changed):
        subject = of(path, changed)
        subject.data.name = f"data of {subject.name}"
        return subject

    monkeypatch.setattr(Subject, "of", staticmethod(renamed))
    assert evaluate([*map(str, runs.values()), f"--suite={eps_suite}", "--grid=pgd"]) == 2
    assert "runs on one data set for --grid, but got" in capsys.readouterr().err
    assert not crafted


def test_operator_norms_need_no_suite(runs, crafted, tmp_path, capsys):
    output = tmp_path / "norms.md"
    run(*runs.values(), "--lipschitz", "--output", output)
    first = next(iter(runs))
    assert shown(capsys) == [
        *(f"{name}/a/figures/operator_norms.png" for name in runs),
        f"{first}/a/figures/operator_norms_compared.png",
    ]
    assert not crafted
    norms = []
    for folder in runs.values():
        weight = restore(find_checkpoint(folder)).defense.network.layers[1].weight
        norms.append(f"{torch.linalg.svdvals(weight.detach())[0]:.4g}")
    lines = [line.strip("| ").split(" | ") for line in output.read_text().splitlines()]
    assert ["layers.1", "linear", "", *norms] in lines
    assert ["product", "", "", *norms] in lines


def test_operator_norms_beside_a_suite(runs, suite, tmp_path, capsys):
    output = tmp_path / "both.md"
    run(runs["standard"], "--suite", suite, "--limit", 8, "--lipschitz", "--output", output)
    text = output.read_text()
    assert text.index("Attack success in %") < text.index("Operator norms of the layers")


@pytest.mark.parametrize("flags", [[], ["--figures", "--lipschitz"], ["--grid=pgd", "--lipschitz"]])
def test_what_attacks_needs_a_suite(flags, capsys):
    with pytest.raises(SystemExit, match="2"):
        evaluate(["runs/a", *flags])
    assert "expected --suite or --table" in capsys.readouterr().err


def write_table(path, suite):
    table = {
        "title": "A paper, Table I",
        "metric": "attack success",
        "suite": str(suite),
        "clean_acc": {"normal": 99.4, "sigmoid": 99.0, "tanh": 99.2},
        "columns": {
            "normal": {"class_path": "robust.defenses.Standard"},
            "sigmoid": {
                "class_path": "robust.defenses.Squeezed",
                "init_args": {"activation": "sigmoid"},
            },
            "tanh": {"class_path": "robust.defenses.Squeezed", "init_args": {"activation": "tanh"}},
        },
        "rows": {
            "FGSM": {"attack": "fgsm", "published": {"normal": 9.75, "sigmoid": 0.1, "tanh": 0.4}}
        },
    }
    path.write_text(yaml.safe_dump(table))
    return path


def test_a_table_of_a_paper(runs, suite, tmp_path, capsys):
    table = write_table(tmp_path / "table.yaml", suite)
    run(*runs.values(), "--table", table)
    printed = table_of(capsys)
    printed = printed[printed.index("A paper, Table I") :]
    cells = {
        line.split()[1]: line.split()[2:]
        for line in printed.splitlines()
        if line.split()[:1] == ["FGSM"]
    }
    assert cells["sigmoid"] == ["0.1", "not", "run"]
    for column, name, number in (("normal", "standard", 9.75), ("tanh", "squeezed", 0.4)):
        evaluation = read_evaluation(records(runs[name]))
        rates = {
            view: 100
            * success_rate(evaluation.select(view, "fgsm"), evaluation.header.attacks["fgsm"]).value
            for view in ("deployed", "adaptive")
        }
        measured = [f"{rates['deployed']:.1f}", f"{rates['deployed'] - number:+.2f}"]
        assert cells[column] == [f"{number:g}", *measured, f"{rates['adaptive']:.1f}"]


class LaterSqueezed(Squeezed):
    """A subclass, as a user may write one."""


@pytest.mark.parametrize(
    ("defense", "column"),
    [
        (Standard(TinyNet()), "normal"),
        (Distillation(TinyNet()), "distilled"),
        (Squeezed(TinyNet(), activation="tanh"), "tanh"),
        (Squeezed(TinyNet(), activation="sigmoid"), "sigmoid"),
        (LaterSqueezed(TinyNet(), activation="sigmoid"), "sigmoid"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_match_columns(defense, column):
    table = read_table(ROOT / "configs" / "tables" / "tuna2022_table1.yaml")
    assert match_columns(table, {"name/id": defense}) == {column: "name/id"}


def test_match_columns_refuses_two_of_one_kind():
    table = read_table(ROOT / "configs" / "tables" / "tuna2022_table1.yaml")
    with pytest.raises(ConfigError, match=r"one run for column 'normal' .* a and b"):
        match_columns(table, {"a": Standard(TinyNet()), "b": Standard(TinyNet())})


@pytest.mark.parametrize("path", ["robust.defenses.Sqeezed", "nowhere.Net", "Net"])
def test_match_columns_refuses_unknown_classes(path):
    table = {"title": "t", "columns": {"a": {"class_path": path}}}
    with pytest.raises(ConfigError, match=f"got '{path}'"):
        match_columns(table, {"a": Standard(TinyNet())})


def test_only_some_attacks_of_a_suite(runs, crafted, capsys):
    run(runs["standard"], f"--suite={SUITE}", "--limit=4", "--attacks", "fg*", "square")
    printed = table_of(capsys)
    assert "fgsm" in printed
    assert "square" in printed
    assert "pgd" not in printed
    assert crafted
    assert evaluate([str(runs["standard"]), f"--suite={SUITE}", "--attacks", "cw"]) == 2
    assert "Expected attacks of the suite (fgsm, pgd, square), but got cw." in (
        capsys.readouterr().err
    )


def test_an_argument_of_the_defense_may_differ_from_that_of_the_training(runs, crafted):
    command = [*runs.values(), f"--suite={SUITE}", "--limit=4", "--attacks", "fgsm"]
    run(*command)
    before = len(crafted)
    # Of the squeezed net alone, whose views are other ones then.
    run(*command, "--model.temperature=3.0")
    assert len(crafted) > before
    assert len(list((runs["squeezed"] / "records").glob("*.csv"))) == 2
    assert len(list((runs["standard"] / "records").glob("*.csv"))) == 1


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--model.temprature=3", r"Expected an argument of Squeezed or Standard \(activation, .*"),
        ("--model.temperature=-1", "Expected `temperature` to be positive, but got -1"),
    ],
)
def test_arguments_that_no_defense_takes(runs, capsys, flag, message):
    assert evaluate([*map(str, runs.values()), f"--suite={SUITE}", flag]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("flag", ["--modle.temperature=3", "--model.temperature"])
def test_options_that_are_none(runs, capsys, flag):
    with pytest.raises(SystemExit):
        evaluate([str(runs["standard"]), f"--suite={SUITE}", flag])
    assert "are written --model.KEY=VALUE" in capsys.readouterr().err


def test_an_argument_that_is_no_yaml(runs, capsys):
    with pytest.raises(SystemExit):
        evaluate([str(runs["standard"]), f"--suite={SUITE}", "--model.temperature=[1"])
    assert "expected a number, word or YAML after --model.temperature=: [1" in (
        capsys.readouterr().err
    )
