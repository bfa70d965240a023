"""`robust reproduce`: what it plans, refuses and runs; scripts of papers name what exists."""

import os
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest

from robust.commands.main import main
from robust.commands.options import train
from robust.commands.options.evaluate import parse_options
from robust.commands.options.reproduce import SCALES, Plan, papers, parse, parts, plan
from robust.commands.reproduce import reproduce
from robust.errors import ConfigError
from robust.loading.short_names import known
from tests.support.cases import crossed
from tests.support.tiny import ROOT

PAPERS = ["paranjape2020", "saito2018", "tuna2022", "wang2018", "zantedeschi2017"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def planned(*args):
    return plan(parse(args))


@cache
def at_scale(paper, scale):
    """Return the plan in a folder where nothing is done, which each test has."""
    return planned(paper, "--scale", scale)


def test_every_paper_can_be_reproduced():
    assert papers() == PAPERS
    folders = {path.parent.name for path in (ROOT / "papers").glob("*/README.md")}
    assert folders == set(PAPERS)


@pytest.mark.parametrize(("paper", "scale"), crossed(PAPERS, SCALES, every=3))
def test_every_step_of_a_plan_is_a_command_of_ours(paper, scale):
    """Configs, suites, tables and flags are there, as far as it shows without torch."""
    made = at_scale(paper, scale)
    trained = set()
    for words in made.steps:
        if words[0] == "touch":
            trained.add(str(Path(words[1]).parent))
        elif words[1] == "train":
            translated = train.translated(words[2:])
            train.check(translated)
            assert "--trainer.devices=1" in translated
        else:
            options = parse_options(words[2:])
            used = {*map(str, options.runs), *map(str, filter(None, [options.transfer_from]))}
            assert used <= trained
    assert 0 < made.hours < (1 if scale == "smoke" else 200)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("paper", PAPERS)
def test_every_table_is_made_at_one_of_the_scales(paper):
    steps = [words for scale in SCALES for words in at_scale(paper, scale).steps]
    tables = {words[words.index("--table") + 1] for words in steps if "--table" in words}
    assert tables == {name for name in known("table") if name.startswith(paper)}
    assert any("--table" in words for words in at_scale(paper, "smoke").steps)


def test_a_step_that_two_parts_need_comes_once():
    lines = planned("tuna2022").lines
    commands = [line for line in lines if not line.startswith("#")]
    assert len(set(commands)) == len(commands) == 2 * 4 + 2


def test_what_is_left_out_is_told():
    lines = planned("tuna2022", "--scale", "smoke").lines
    assert "# table3 is left out at scale smoke (Table III, CIFAR-10, part 1)." in lines


def test_what_is_trained_is_not_trained_again():
    done = Path("runs/papers/tuna2022/cpu/squeezed/seed0/done")
    done.parent.mkdir(parents=True)
    done.touch()
    names = [
        words[words.index("--name") + 1] for words in planned("tuna2022").steps if "--name" in words
    ]
    assert names == ["standard", "distillation", "mnist_sigmoid"]


@pytest.mark.parametrize("part", ["table1", "tuna2022_table1"])
def test_one_part(part):
    steps = planned("tuna2022", part).steps
    assert [words[2:] for words in steps if words[1] == "evaluate"] == [
        shlex.split(
            "runs/papers/tuna2022/cpu/standard/seed0 runs/papers/tuna2022/cpu/distillation/seed0 "
            "runs/papers/tuna2022/cpu/squeezed/seed0 runs/papers/tuna2022/cpu/mnist_sigmoid/seed0 "
            "--table tuna2022_table1 --limit 1000 --attacks '*' "
            "--results runs/papers/tuna2022/cpu/results.csv 'robust reproduce tuna2022 table1' "
            "--output runs/papers/tuna2022/cpu/table1.md"
        )
    ]


@pytest.mark.parametrize(
    ("paper", "rows", "attacks"),
    [
        ("tuna2022", ["targeted-bim"], {"table1": ["targeted_bim"], "table2": ["targeted_bim"]}),
        ("tuna2022", ["cw", "deep*"], {"table1": ["cw", "deepfool"], "table2": ["cw", "deepfool"]}),
        ("saito2018", ["bim 0.1"], {f"table{n}_mnist": ["bim_0.1"] for n in (3, 5)}),
        (
            "saito2018",
            ["madry"],
            {
                "table3_mnist": ["madry_0.1"],
                "table5_mnist": ["madry_0.04", "madry_0.06", "madry_0.08", "madry_0.1"],
            },
        ),
        ("zantedeschi2017", ["JSMA"], {"table4_slow": ["jsma"]}),
    ],
)
def test_rows_choose_attacks_of_each_table(paper, rows, attacks):
    made = planned(paper, "--rows", *rows)
    found = {
        Path(words[-1]).stem: words[words.index("--attacks") + 1 : words.index("--results")]
        for words in made.steps
        if words[1] == "evaluate"
    }
    found = {name: names for name, names in found.items() if "fashion" not in name}
    assert found == attacks


@pytest.mark.parametrize("part", ["table5", "saito2018_table5"])
def test_a_table_without_a_data_set_is_that_of_all(part):
    lines = planned("saito2018", part, "--rows", "bim").lines
    evaluated = [shlex.split(line) for line in lines if line.startswith("robust evaluate")]
    tables = [words[words.index("--table") + 1] for words in evaluated]
    assert tables == ["saito2018_table5_mnist", "saito2018_table5_fashion_mnist"]
    for words in evaluated:
        start = words.index("--attacks") + 1
        assert words[start : start + 4] == ["bim_0.1", "bim_0.2", "bim_0.3", "bim_0.4"]
    assert "# table5_cifar10 is left out at scale cpu (Table 5, random targets)." in lines


def test_a_table_that_is_named_is_no_other():
    assert parse(["wang2018", "table2"]).parts == ["table2"]
    assert parse(["saito2018", "table5_mnist"]).parts == ["table5_mnist"]


def kept(paper, scale, where=None, **settings):
    """The file and the command of the numbers of each table, as the script plans them."""
    done = subprocess.run(
        ["bash", ROOT / f"papers/{paper}/reproduce.sh"],
        env={**os.environ, "SCALE": scale, "PLAN": "1", **settings},
        capture_output=True,
        text=True,
        check=True,
        cwd=where,
    )
    steps = [shlex.split(line) for line in done.stdout.splitlines() if "--results" in line]
    return [tuple(words[words.index("--results") + 1 :][:2]) for words in steps]


def test_numbers_go_into_the_folder_of_the_paper_in_a_clone():
    assert kept("paranjape2020", "cpu", ROOT) == [
        ("papers/paranjape2020/results.csv", f"robust reproduce paranjape2020 {part}")
        for part in ("table1", "table1_tvm")
        for _ in range(2 if part == "table1_tvm" else 1)
    ]
    (first, *_) = kept("saito2018", "paper", ROOT)
    command = "robust reproduce saito2018 table3_mnist --scale paper"
    assert first == ("papers/saito2018/results.csv", command)


@pytest.mark.parametrize("paper", PAPERS)
def test_numbers_of_scale_smoke_never_do(paper):
    files = {path for path, _ in kept(paper, "smoke", ROOT)}
    assert files == {f"runs/papers/{paper}/smoke/results.csv"}


def test_settings_are_part_of_the_command_of_numbers(tmp_path):
    settings = {"PRECISION": "bf16-mixed", "EPOCHS": "20", "RESULTS": "mine.csv"}
    (first, *_) = kept("zantedeschi2017", "cpu", tmp_path, **settings)
    command = "EPOCHS=20 PRECISION=bf16-mixed robust reproduce zantedeschi2017 table1"
    assert first == ("mine.csv", command)


def test_a_table_under_other_attacks_is_not_kept():
    """Else a cell would have the number of whichever was run last."""
    found = [command.split()[-1] for _, command in kept("wang2018", "cpu")]
    assert found == ["table1", "table2", "table2_sets", "table2_sets", "table2_tvm"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["tuna2023"], r"a paper, but got 'tuna2023'\. Did you mean tuna2022\?"),
        (["tuna2022", "tabel1"], r"a part of tuna2022, but got 'tabel1'\. Did you mean table1\?"),
        (["tuna2022", "table3"], r"at scale cpu, but table3 takes longer\. Its scales: paper\."),
        (["saito2018", "table7", "--scale", "smoke"], r"but table7_mnist takes longer"),
        (["tuna2022", "--rows", "bmi"], r"rows of a table of tuna2022, but got 'bmi'\. Did you"),
        (["zantedeschi2017", "table2", "--rows", "*"], r"rows of a table of zantedeschi2017"),
    ],
)
def test_what_is_not_there(args, message):
    with pytest.raises(ConfigError, match=message) as error:
        planned(*args)
    assert len(str(error.value)) < 300


def test_rows_that_a_scale_leaves_out():
    with pytest.raises(ConfigError, match=r"rows that scale smoke attacks, but got 'cw'"):
        reproduce(["tuna2022", "--rows", "cw", "--scale", "smoke", "--dry-run"], lambda _: 0)


def test_a_dry_run_prints_a_script_and_runs_nothing(capsys):
    assert main(["reproduce", "tuna2022", "table1", "--scale", "smoke", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# tuna2022 at scale smoke: 5 steps, by a rough estimate 2 minutes")
    assert subprocess.run(["bash", "-n"], input=printed, text=True).returncode == 0
    assert not Path("runs").exists()


def test_steps_run_in_order_until_one_fails(capsys):
    ran = []

    def run(words):
        folder = Path("runs/papers/tuna2022/smoke") / f"{words[words.index('--name') + 1]}/seed0"
        folder.mkdir(parents=True)
        ran.append(folder.parent.name)
        return 143 if len(ran) == 2 else 0

    args = ["tuna2022", "table1", "--scale", "smoke"]
    assert reproduce(args, run) == 143
    assert ran == ["standard", "distillation"]
    said = capsys.readouterr().err
    assert "[2 of 5, 0 minutes gone] robust train distillation" in said
    assert said.endswith("Stopped at step 2 with exit code 143. The same command goes on.\n")
    assert "standard" not in {
        words[words.index("--name") + 1] for words in planned(*args).steps[:1]
    }


def test_the_script_alone_runs_the_commands_of_the_plan(tmp_path):
    """Each with the command `robust` that is on PATH."""
    command = tmp_path / "bin" / "robust"
    command.parent.mkdir()
    command.write_text(
        '#!/bin/sh\necho robust "$@"\n'
        'while [ $# -gt 1 ]; do [ "$1" = --name ] && mkdir -p "$ROOT/$2/seed0"; shift; done\n'
    )
    command.chmod(0o755)
    root = tmp_path / "elsewhere"
    settings = {"PATH": f"{command.parent}:{os.environ['PATH']}", "ROOT": str(root)}
    done = subprocess.run(
        ["bash", ROOT / "papers/tuna2022/reproduce.sh", "table1"],
        env={**os.environ, **settings, "SCALE": "smoke"},
        capture_output=True,
        text=True,
        check=True,
    )
    printed = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    expected = planned("tuna2022", "table1", "--scale", "smoke").steps
    replaced = [
        " ".join(words).replace("runs/papers/tuna2022/smoke", str(root)) for words in expected
    ]
    assert printed == [line for line in replaced if not line.startswith("touch")]
    assert len(list(root.glob("*/seed0/done"))) == 4


def test_a_plan_tells_commands_from_comments():
    assert Plan(["# a: b.", "robust a 'b c'", "touch d"], 1).steps == [
        ["robust", "a", "b c"],
        ["touch", "d"],
    ]


def test_scales_have_the_same_parts():
    for paper in PAPERS:
        assert len({tuple(parts(paper, scale)) for scale in SCALES}) == 1


@pytest.mark.slow
def test_a_table_at_scale_smoke(quiet, capsys):
    data = Path(os.environ.get("ROBUST_DATA_DIR", ROOT / "data"))
    if not (data / "MNIST").is_dir():
        pytest.skip("needs MNIST")
    args = ["reproduce", "paranjape2020", "table1", "--scale", "smoke"]
    assert main(args) == 0
    printed = capsys.readouterr()
    assert "Paranjape et al. 2020, Table 1" in printed.out
    assert "[5 of 5]" in printed.err
    assert Path("runs/papers/paranjape2020/smoke/table1.md").is_file()
    assert main([*args, "--dry-run"]) == 0
    assert "robust train" not in capsys.readouterr().out
