import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

import robust.evaluation.blocks
import robust.figures.adversarials
from robust.attacks import craft
from robust.commands.evaluate import evaluate
from robust.commands.options.evaluate import parse_options
from robust.defenses import Distillation, Squeezed, Standard
from robust.errors import ConfigError
from robust.evaluation.fingerprints import model_sha256
from robust.io.commit import code_commit
from robust.loading.paper_tables import match_columns, read_table
from robust.loading.restore import restore
from robust.loading.trained_run import TrainedRun, find_checkpoint
from robust.measures.robustness import measure_robustness
from robust.results.cells import as_text
from robust.results.metrics import robust_accuracy, success_rate, worst_robust_accuracy
from robust.results.published.result_file import read_results
from robust.results.records import read_evaluation
from tests.support.papers import TABLES
from tests.support.tiny import ROOT

pytestmark = pytest.mark.usefixtures("quiet", "blank_figures")
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

    monkeypatch.setattr(robust.evaluation.blocks, "craft", counted)
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


def test_two_networks_of_one_run_are_two(runs, suite, tmp_path):
    best, last = (runs["squeezed"] / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    checkpoint = torch.load(last, weights_only=True)
    del checkpoint["robust_checksums"]  # of other weights
    for value in checkpoint["state_dict"].values():
        value.neg_()
    torch.save(checkpoint, best)
    out = tmp_path / "table.md"

    def names(*paths):
        run(*paths, "--suite", suite, "--limit=6", "--output", out)
        return re.findall(r"^\| (\S+ckpt|squeezed/a) ", out.read_text(), flags=re.MULTILINE)

    assert names(best, last) == ["squeezed/a/best.ckpt", "squeezed/a/last.ckpt"]
    assert names(last, last) == ["squeezed/a"]
    shutil.copytree(runs["squeezed"], tmp_path / "copies" / "squeezed" / "a")
    copy = tmp_path / "copies" / "squeezed" / "a" / "checkpoints" / "last.ckpt"
    assert names(last, copy) == [str(last), str(copy)]


def test_a_torn_part_is_completed(runs, suite, crafted):
    folder = runs["squeezed"]
    run(folder, "--suite", suite)
    complete, done = rows(records(folder)), len(crafted)
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
    assert rows(records(folder)) == complete
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


def test_a_table_crafts_on_the_network_that_the_papers_attacker_saw(runs, suite, tmp_path):
    """Other transfer attacks, through the view that works best."""
    rows = {"a": {"attack": "fgsm", "published": {"squeezed": 1}}}
    columns = {"squeezed": {"class_path": "robust.defenses.Squeezed"}}
    table = transfer_table(
        tmp_path, suite, view="transfer", rows=rows, columns=columns, clean_acc={"squeezed": None}
    )
    source, seen = TrainedRun.load(runs["standard"]).defense, set()
    for call, given, view in (("--suite", suite, "adaptive"), ("--table", table, "published")):
        run(runs["squeezed"], call, given, "--transfer-from", runs["standard"], "--limit", 8)
        found = map(read_evaluation, (runs["squeezed"] / "records").glob("*.csv"))
        crafted_on = {e.header.adaptive_sha256 for e in found if e.views == ["transfer"]}
        assert crafted_on - seen == {model_sha256(source.view(view))}
        seen |= crafted_on


def test_a_transfer_network_of_another_shape_is_one_line(runs, suite, monkeypatch, capsys):
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


def shown(capsys):
    """Return the names of the figures that were said to be written, and are there."""
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
    plotted = shown(capsys)
    for name in runs:
        assert f"{name}/a/figures/accuracy_eps.png" in plotted
    first = next(iter(runs))
    assert plotted[-2:] == [
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
    of = TrainedRun.load

    def renamed(path, *others):
        trained_run = of(path, *others)
        trained_run.data.name = f"data of {trained_run.name}"
        return trained_run

    monkeypatch.setattr(TrainedRun, "load", staticmethod(renamed))
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


@pytest.mark.slow  # test_stages has both in one command
def test_operator_norms_beside_a_suite(runs, suite, tmp_path, capsys):
    output = tmp_path / "both.md"
    run(runs["standard"], "--suite", suite, "--limit", 8, "--lipschitz", "--output", output)
    text = output.read_text()
    assert text.index("Attack success in %") < text.index("Operator norms of the layers")


@pytest.mark.parametrize("flags", [[], ["--figures", "--lipschitz"], ["--grid=pgd", "--lipschitz"]])
def test_what_attacks_has_a_suite_by_default(flags):
    options = parse_options(["runs/a", *flags])
    assert options.by_default
    assert options.suite.name == "quick.yaml"


@pytest.mark.parametrize("flags", [["--lipschitz"], ["--certify=0.25"], ["--suite=a.yaml"]])
def test_what_does_not_attack_or_has_a_suite_gets_no_other(flags):
    options = parse_options(["runs/a", *flags])
    assert not options.by_default
    assert options.suite in (None, Path("a.yaml"))


def test_the_default_suite_is_said(runs, capsys):
    run(runs["standard"], "--limit", 4)
    captured = capsys.readouterr()
    assert "note: attacked with the suite quick, the default" in captured.err
    assert "suite quick" in captured.out


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
        measured = [f"{rates['deployed']:.1f}", f"{rates['deployed'] - number:+.2f}", "differs"]
        assert cells[column] == [f"{number:g}", *measured, f"{rates['adaptive']:.1f}"]


def results_of(path):
    return {(r.row, r.column, r.view): r for r in read_results(path)}


def test_numbers_of_a_table_are_kept_with_what_they_come_from(runs, suite, tmp_path, capsys):
    table = write_table(tmp_path / "table.yaml", suite)
    kept = tmp_path / "results.csv"
    flags = ["--results", kept, "robust reproduce a table1", "--evidence", "quick"]
    args = [*runs.values(), "--table", table, *flags]
    run(*args)
    found = results_of(kept)
    assert {key[1:] for key in found} == {
        (column, view)
        for column in ("normal", "tanh")
        for view in ("clean", "deployed", "adaptive")
    }
    evaluation = read_evaluation(records(runs["standard"]))
    rate = success_rate(evaluation.select("deployed", "fgsm"), evaluation.header.attacks["fgsm"])
    result = found["FGSM", "normal", "deployed"]
    assert result.value == pytest.approx(100 * rate.value, abs=0.005)
    bounds = [100 * bound for bound in rate.interval]
    assert [result.low, result.high] == pytest.approx(bounds, abs=0.005)
    images = len(evaluation.select("deployed", "fgsm"))
    assert (result.n, result.published, result.seed) == (images, 9.75, 0)
    assert (result.table, result.attack, result.config) == ("table", "fgsm", "standard")
    assert result.network == evaluation.header.model_sha256[:8]
    assert (result.precision, result.differs) == ("float32", "")
    assert result.commit.startswith(code_commit())
    assert result.command == "robust reproduce a table1"
    score = evaluation.evidence.trials["Linf 0.3"].scores["deployed"].found
    assert result.unit_test == f"{score.hits}/{score.n}"
    seconds = evaluation.select("deployed", "fgsm")["seconds"].sum()
    assert result.hours == pytest.approx(seconds / 3600, abs=1e-4)
    assert found["clean accuracy", "tanh", "clean"].attack == ""
    assert str(tmp_path) not in kept.read_text()
    before = kept.read_text()
    capsys.readouterr()
    run(*args)
    assert kept.read_text() == before
    assert "results.csv: 0 new numbers." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("damaged", "results.csv", "its first line does not name its columns"),
        (None, "no/results.csv", "its folder does not exist"),
    ],
)
def test_where_numbers_cannot_go_nothing_is_attacked(
    runs, suite, crafted, tmp_path, capsys, content, name, message
):
    table = write_table(tmp_path / "table.yaml", suite)
    if content is not None:
        (tmp_path / name).write_text(content)
    flags = ["--table", table, "--results", tmp_path / name, "a command"]
    assert evaluate([str(arg) for arg in (*runs.values(), *flags)]) == 2
    printed = capsys.readouterr().err
    assert printed.count("error: ") == 1
    assert message in printed
    assert not crafted


def test_numbers_that_are_kept_have_a_table(capsys):
    with pytest.raises(SystemExit):
        parse_options(["run", "--results", "a.csv", "b"])
    assert "there is no --table" in capsys.readouterr().err


def test_the_command_of_numbers_is_one_line():
    with pytest.raises(ConfigError, match="the command of --results to be a name"):
        parse_options(["run", "--table", "tuna2022_table1", "--results", "a.csv", "b\nc"])


class LaterSqueezed(Squeezed):
    """A subclass, as a user may write one."""


def described(kind, **arguments):
    """What a checkpoint says of a defense."""
    path = f"{kind.__module__}.{kind.__name__}"
    model = {"class_path": path, "init_args": {"network": None, **arguments}}
    return {"model": model, "data": {"class_path": "robust.data.ImageDataModule"}}


@pytest.mark.parametrize(
    ("run", "column"),
    [
        (described(Standard), "normal"),
        (described(Distillation), "distilled"),
        (described(Squeezed, activation="tanh"), "tanh"),
        (described(Squeezed, activation="sigmoid"), "sigmoid"),
        (described(LaterSqueezed, activation="sigmoid"), "sigmoid"),
    ],
    ids=["standard", "distillation", "tanh", "sigmoid", "subclass"],
)
def test_match_columns(run, column):
    table = read_table(TABLES["tuna2022_table1"])
    assert match_columns(table, {"name/id": run}) == {column: "name/id"}


def test_match_columns_refuses_two_of_one_kind():
    table = read_table(TABLES["tuna2022_table1"])
    with pytest.raises(ConfigError, match=r"one run for column 'normal' .* a and b"):
        match_columns(table, {"a": described(Standard), "b": described(Standard)})


@pytest.mark.parametrize("path", ["robust.defenses.Sqeezed", "nowhere.Net", "Net"])
def test_match_columns_refuses_unknown_classes(path):
    table = {"title": "t", "columns": {"a": {"class_path": path}}}
    with pytest.raises(ConfigError, match=f"got '?{path}"):
        match_columns(table, {"a": described(Standard)})


def transfer_table(folder, suite, **changed):
    """Of the two trained runs, with the tiny suite for both of a table's suites."""
    rows = {
        f"from {column}": {
            "attack": "fgsm",
            "crafted_on": column,
            "adaptive": ["pgd"],
            "published": {"standard": 50, "squeezed": None},
        }
        for column in ("standard", "squeezed")
    }
    table = {
        "title": "A transfer table",
        "metric": "robust accuracy",
        "suite": str(suite),
        "adaptive_suite": str(suite),
        "clean_acc": {"standard": None, "squeezed": None},
        "columns": {
            "standard": {"class_path": "robust.defenses.Standard"},
            "squeezed": {"class_path": "robust.defenses.Squeezed"},
        },
        "rows": rows,
        **changed,
    }
    path = folder / "transfer.yaml"
    path.write_text(yaml.safe_dump(table))
    return path


def markdown_rows(path, title):
    """First lines of the cells below a title, by the first two."""
    text = path.read_text()
    lines = text[text.index(title) :].splitlines()
    rows = [
        [cell.split("<br>")[0] for cell in line.strip("| ").split(" | ")]
        for line in lines
        if line.startswith("| ")
    ]
    return {tuple(row[:2]): row[2:] for row in rows}


def test_a_table_attacks_each_run_from_each_other(runs, suite, crafted, tmp_path):
    output, table = tmp_path / "out.md", transfer_table(tmp_path, suite)
    flags = ["--limit", 8, "--results", tmp_path / "results.csv", "a command"]
    command = [*runs.values(), "--table", table, *flags, "--output", output]
    run(*command)
    attacks = 3 * (2 + 2) + 3 * 2  # through the views; from the other
    assert len(crafted) == attacks
    run(*command)
    assert len(crafted) == attacks
    cells = markdown_rows(output, "**A transfer table")
    for name, folder in runs.items():
        found = {}
        for path in (folder / "records").glob("*.csv"):
            evaluation = read_evaluation(path)
            for view in evaluation.views:
                rate = robust_accuracy(
                    evaluation.select(view, "fgsm"), evaluation.header.attacks["fgsm"]
                )
                found[view] = f"{100 * rate.value:.1f}"
                if view == "adaptive":
                    rows = evaluation.select(view, "pgd")
                    pgd = robust_accuracy(rows, evaluation.header.attacks["pgd"])
        other = next(other for other in runs if other != name)
        assert cells[f"from {name}", name][1] == found["deployed"]
        assert cells[f"from {other}", name][1] == found["transfer"]
        assert cells[f"from {other}", name][4] == f"{100 * pgd.value:.1f}"
        numbers = results_of(tmp_path / "results.csv")
        assert f"{numbers[f'from {name}', name, 'deployed'].value:.1f}" == found["deployed"]
        assert f"{numbers[f'from {other}', name, 'transfer'].value:.1f}" == found["transfer"]
        worst = numbers[f"from {other}", name, "adaptive"]
        assert (f"{worst.value:.1f}", worst.attack) == (f"{100 * pgd.value:.1f}", "pgd")
    assert cells["from standard", "squeezed"][0] == "lost"


@pytest.mark.parametrize(
    ("changed", "flags", "message"),
    [
        ({}, ["--transfer-from=RUN"], "Expected no --transfer-from with"),
        ({"view": "transfer"}, [], "Expected --transfer-from with"),
        ({"columns": {"standard": {"class_path": "robust.defenses.Sqeezed"}}}, [], "Sqeezed"),
    ],
)
def test_a_table_that_cannot_be_made_attacks_nothing(
    runs, suite, crafted, tmp_path, capsys, changed, flags, message
):
    table = transfer_table(tmp_path, suite, **changed)
    flags = [flag.replace("RUN", str(runs["standard"])) for flag in flags]
    assert evaluate([*map(str, runs.values()), f"--table={table}", *flags]) == 2
    printed = capsys.readouterr().err
    assert printed.count("error: ") == 1
    assert message in printed
    assert not crafted


def test_a_table_of_measurements(runs, crafted, tmp_path):
    output, path = tmp_path / "out.md", tmp_path / "measured.yaml"
    table = {
        "title": "A measured table",
        "metric": "robustness",
        "columns": {"net": {"class_path": "robust.defenses.Standard"}},
        "rows": {"sensitivity": {"measure": "sensitivity", "published": {"net": 0.5}}},
    }
    path.write_text(yaml.safe_dump(table))
    kept = tmp_path / "results.csv"
    flags = ["--limit", 8, "--output", output, "--results", kept, "robust reproduce a"]
    run(*runs.values(), "--table", path, *flags)
    assert not crafted
    text = output.read_text()
    assert "Robustness by minimal perturbations, n = 8" in text
    (cells,) = [v for k, v in markdown_rows(output, "**A measured").items() if k[1] == "net"]
    trained_run = TrainedRun.load(runs["standard"])
    expected = measure_robustness(trained_run.defense, trained_run.data, 8)["deployed"].sensitivity
    assert cells[:3] == [
        "0.5",
        as_text(expected.prediction),
        f"{expected.prediction.value - 0.5:+.4g}",
    ]
    assert "No column of this table: squeezed/a." in text
    result = results_of(kept)["sensitivity", "net", "deployed"]
    assert result.value == pytest.approx(expected.prediction.value, rel=1e-3, abs=1e-4)
    assert (result.attack, result.published, result.n) == ("sensitivity", 0.5, 8)
    assert result.low < result.value < result.high
    assert {view for *_, view in results_of(kept)} == {"deployed", "adaptive"}


@pytest.mark.slow  # tests/figures has both kinds
def test_many_images_are_plotted_without_what_changed(runs, suite, monkeypatch, capsys):
    sizes = []
    save = robust.figures.adversarials.save_figure

    def measured(figure, path):
        sizes.append(len([axes for axes in figure.axes if axes.get_title()]))
        sizes.append(len(figure.axes))
        return save(figure, path)

    monkeypatch.setattr(robust.figures.adversarials, "save_figure", measured)
    for images in (5, 6):
        run(runs["standard"], "--suite", suite, "--limit", 8, "--grid=fgsm", f"--images={images}")
    # Clean and adversarial ones have a title; changes and their colour bars have none.
    assert sizes[0] < sizes[1]
    assert sizes[2] == sizes[3] == 3 * 6
    with pytest.raises(SystemExit, match="2"):
        evaluate([str(runs["standard"]), f"--suite={suite}", "--grid=fgsm", "--images=0"])
    assert "expected --images to be at least 1, but got 0" in capsys.readouterr().err


def test_only_some_attacks_of_a_suite(runs, crafted, capsys):
    run(runs["standard"], f"--suite={SUITE}", "--limit=4", "--attacks", "fg*", "square")
    printed = table_of(capsys)
    assert "fgsm" in printed
    assert "square" in printed
    assert "pgd" not in printed
    assert crafted
    assert evaluate([str(runs["standard"]), f"--suite={SUITE}", "--attacks", "cw"]) == 2
    assert "Expected attacks of the suite (fgsm, pgd, square), but got 'cw'." in (
        capsys.readouterr().err
    )


def test_an_argument_of_the_defense_may_differ_from_that_of_the_training(runs, crafted):
    command = [*runs.values(), f"--suite={SUITE}", "--limit=4", "--attacks", "fgsm"]
    run(*command)
    before = len(crafted)
    # Of the squeezed network alone, whose views are other ones then.
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


@pytest.mark.parametrize("flag", ["--modle.temperature=3", "--model.a..b=3", "--model.=3"])
def test_options_that_are_none(runs, capsys, flag):
    with pytest.raises(SystemExit):
        evaluate([str(runs["standard"]), f"--suite={SUITE}", flag])
    assert "are written --model.KEY=VALUE" in capsys.readouterr().err


def test_an_argument_without_a_value(runs, capsys):
    assert evaluate([str(runs["standard"]), f"--suite={SUITE}", "--model.temperature"]) == 2
    assert "a value after --model.temperature, but got none" in capsys.readouterr().err


def test_an_argument_that_is_no_yaml(runs, capsys):
    args = [str(runs["standard"]), f"--suite={SUITE}", "--model.temperature=[1"]
    assert evaluate(args) == 2
    expected = "Expected a number, word or YAML after --model.temperature=, but got [1"
    assert expected in capsys.readouterr().err
