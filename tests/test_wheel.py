"""What the wheel holds, and that it works outside of the clone."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text())


def files():
    """What a wheel has to hold, by its place in the clone."""
    folders = ("robust", "configs", "papers", "sweeps")
    paths = [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file()]
    return [path.relative_to(ROOT) for path in paths if path.suffix != ".pyc"]


def place(path):
    """Where a file of the clone is in the wheel."""
    return path.as_posix() if path.parts[0] == "robust" else f"robust/{path.as_posix()}"


def test_the_build_takes_all_files():
    wheel = BUILD["tool"]["hatch"]["build"]["targets"]["wheel"]
    taken, moved = wheel["only-include"], wheel["sources"]
    for path in files():
        assert path.parts[0] in taken
        assert place(path).startswith(moved.get(path.parts[0], "robust"))
    assert Path("robust/py.typed") in files()
    assert {place(path) for path in files()} >= {
        "robust/configs/suites/quick.yaml",
        "robust/papers/steps.sh",
        "robust/papers/tuna2022/reproduce.sh",
        "robust/papers/tuna2022/tables/tuna2022_table1.yaml",
        "robust/sweeps/temperature.yaml",
        "robust/report/templates/page.html",
    }


def test_git_ignores_none_of_them():
    """What it ignores hatchling leaves out."""
    if not (ROOT / ".git").exists():
        pytest.skip("no clone")
    text = "\n".join(map(str, files()))
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_the_command_is_there():
    module, function = BUILD["project"]["scripts"]["robust"].split(":")
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
    assert function == "main"


def test_the_citation_is_of_this_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["title"] == BUILD["project"]["name"]
    assert citation["license"] == BUILD["project"]["license"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the clone; hatchling comes from the package index."""
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    if shutil.which(uv) is None:
        pytest.skip("needs uv")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)
    (built,) = folder.glob("*.whl")
    site = tmp_path_factory.mktemp("site")
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
    subprocess.run([*install, "--target", site, built], check=True)
    return built, site


@pytest.mark.outside
def test_its_files(wheel):
    names = set(zipfile.ZipFile(wheel[0]).namelist())
    assert {place(path) for path in files()} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"robust", "robust_defenses"}


@pytest.mark.outside
def test_it_trains_evaluates_and_reports_in_an_empty_folder(wheel, tmp_path):
    site = wheel[1]
    environment = {key: value for key, value in os.environ.items() if "ROBUST" not in key}
    environment |= {"PYTHONPATH": str(site), "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}

    def robust(line):
        command = [site / "bin" / "robust", *line.split()]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    version = robust("--version").split()[1]
    assert wheel[0].name.startswith(f"robust_defenses-{version}-")
    assert "quick " in robust("list suites")
    assert "--table tuna2022_table1" in robust("reproduce tuna2022 --dry-run")
    line = "train standard --data digits --epochs 1 --limit 20 --id a --devices 1 --accelerator cpu"
    assert "suite quick" in robust(f"{line} --trainer.enable_progress_bar=false")
    assert "suite quick" in robust("evaluate runs/standard/a --limit 10")
    robust("report runs")
    assert (tmp_path / "report.html").is_file()
    config = (tmp_path / "runs/standard/a/config.yaml").read_text()
    assert str(ROOT) not in config
