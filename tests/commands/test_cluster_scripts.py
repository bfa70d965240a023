"""The scripts of `cluster/`, with stand-ins for what only a cluster has."""

import os
import signal
import subprocess
import time

import pytest

from robust.commands.options.evaluate import parse_options
from robust.commands.train import RobustCLI
from tests.support.tiny import ROOT

pytestmark = pytest.mark.usefixtures("quiet")
SCRIPTS = sorted((ROOT / "cluster").iterdir())
VARIABLES = {
    "SLURM_JOB_ID": "4711",
    "SLURM_NNODES": "2",
    "SLURM_NTASKS_PER_NODE": "4",
    "SLURM_CPUS_PER_TASK": "3",
    "NODES": "2",
    "DEVICES": "4",
    "ID": "first",
    "GPUS": "0 1",
    "RUNS": "3",
}
CONFIG = ["--config", str(ROOT / "configs" / "squeezed.yaml"), "--trainer.max_epochs", "2"]


@pytest.fixture
def cluster(tmp_path):
    """Start a script in a folder where some commands only note their words, and end as told."""

    def start(script, *words, **commands):
        for name, body in {"scontrol": "", **commands}.items():
            command = tmp_path / name
            command.write_text(f'#!/bin/bash\necho {name} "$@" >> {tmp_path}/noted\n{body}\n')
            command.chmod(0o755)
        variables = {**VARIABLES, "SLURM_SUBMIT_DIR": str(tmp_path)}
        return subprocess.Popen(
            ["bash", ROOT / "cluster" / script, *words],
            cwd=tmp_path,
            env={**os.environ, **variables, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        )

    start.noted = lambda: (tmp_path / "noted").read_text().splitlines()
    return start


def after(line, script):
    """The words that follow a script's name."""
    words = line.split()
    return words[words.index(script) + 1 :]


def accepted(words, capsys):
    with pytest.raises(SystemExit) as ended:
        RobustCLI([*words, "--print_config"])
    assert ended.value.code == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_syntax(script):
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    for line in script.read_text().splitlines():
        assert len(line) <= 120
        if line.startswith("#SBATCH"):
            assert line.split()[1].startswith("--")


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (75, True), (138, True), (143, False)])
def test_fit_sbatch(cluster, capsys, code, requeued):
    assert cluster("fit.sbatch", *CONFIG, srun=f"exit {code}").wait() == code
    line, *others = cluster.noted()
    assert others == (["scontrol requeue 4711"] if requeued else [])
    assert line.startswith("srun --kill-on-bad-exit=1 --cpus-per-task=3 python train.py fit ")
    if code == 0:
        config = accepted(after(line, "train.py"), capsys)
        for text in ("num_nodes: 2", "devices: '4'", "id: '4711'", "resume: auto", "max_epochs: 2"):
            assert text in config


def test_evaluate_sbatch(cluster):
    words = ["runs/squeezed/a", "--suite", "configs/suites/quick.yaml"]
    assert cluster("evaluate.sbatch", *words, srun="exit 75").wait() == 75
    line, again = cluster.noted()
    assert again == "scontrol requeue 4711"
    options = parse_options(after(line, "evaluate.py"))
    assert [str(path) for path in options.runs] == words[:1]


def test_fit_sh(cluster, capsys):
    store = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"  # else a restart meets those that died
    assert cluster("fit.sh", *CONFIG, torchrun=f'echo "${store}" >> noted').wait() == 0
    line, alone = cluster.noted()
    assert alone == "1"
    assert "--nnodes=2 --nproc-per-node=4 --max-restarts=3" in line
    config = accepted(after(line, "train.py"), capsys)
    for text in ("num_nodes: 2", "devices: '4'", "id: first", "resume: auto"):
        assert text in config


def test_agents_sbatch(cluster):
    assert cluster("agents.sbatch", "e/p/s", wandb="").wait() == 0
    assert cluster.noted() == ["wandb agent --forward-signals --count 1 e/p/s"] * 3


def test_agents_sbatch_that_is_told(cluster):
    told = "trap 'echo told >> noted; exit 0' USR1; echo up >> noted; while :; do sleep 0.05; done"
    process = cluster("agents.sbatch", "e/p/s", wandb=told)
    deadline = time.monotonic() + 60
    while not any(line == "up" for line in _lines(cluster)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 75
    assert cluster.noted()[-2:] == ["told", "scontrol requeue 4711"]


def test_agents_sbatch_that_is_told_before_it_knows_its_agent(cluster, tmp_path):
    script = tmp_path / "slow"
    slow = """set -T; trap '[[ $BASH_COMMAND != agent=*! ]] || sleep 0.5' DEBUG"""
    script.write_text(f'{slow}\nsource {ROOT}/cluster/agents.sbatch "$@"\n')
    told = "trap 'echo told >> noted; exit 0' USR1; kill -USR1 $PPID; while :; do sleep 0.05; done"
    assert cluster(script, "e/p/s", wandb=told).wait(60) == 75
    assert cluster.noted()[-2:] == ["told", "scontrol requeue 4711"]


def test_agents_sh(cluster):
    body = 'echo "$CUDA_VISIBLE_DEVICES" >> noted'
    assert cluster("agents.sh", "e/p/s", wandb=body).wait() == 0
    noted = cluster.noted()
    assert noted.count("wandb agent --forward-signals e/p/s") == 2
    assert {"0", "1"} <= set(noted)


def _lines(cluster):
    try:
        return cluster.noted()
    except FileNotFoundError:
        return []
