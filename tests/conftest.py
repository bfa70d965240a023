"""What all tests share.

Packages that import torch are imported where they are used: the first process of xdist reads
this file, too, and runs no test.
"""

import gc
import os
import random
import sys
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

from tests.support import cases, quicker, shapes

quicker.leave_garbage()
shapes.install()

# The tests' own networks and defenses, which configs and checkpoints of tests name.
os.environ["ROBUST_TRUST"] = "tests"
# Evidence of each evaluation would take longer than most tests; those of evidence ask for it.
os.environ["ROBUST_EVIDENCE"] = "none"

ROUNDING = os.environ.get("ROBUST_TEST_ROUNDING")
SEED = int(os.environ.get("ROBUST_TEST_SEED", "0"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    """Import what is heavy before any of our packages, in the processes that run tests.

    What is imported while one of ours is imported goes through jaxtyping's import hook. That finds
    no byte code and compiles it.
    """
    if not session.config.getoption("numprocesses", None):
        quicker.import_heavy()
        quicker.install()


def pytest_collection_finish():
    """All tests and modules are left out when garbage is looked for."""
    quicker.forget_garbage()


def pytest_unconfigure():
    """Extensions complain of what is left at the end of a process."""
    gc.unfreeze()


PROCESSES = (
    "tests/fuzz/test_fuzz.py",
    "tests/commands/test_kill.py",
    "tests/commands/test_cluster.py",
    "tests/commands/test_ddp.py",
    "tests/commands/test_processes.py",
    "tests/commands/test_resume.py",
    "tests/evaluation/test_epochs.py",
    "tests/defenses/wnll/test_defense.py",
    "tests/results/test_records.py",
    "tests/sweep/test_killed_driver.py",
    "tests/tracking/test_processes.py",
    "tests/loading/test_parsing.py",
)
"""Files that fork commands from a process that has imported everything.

To start that one takes longer than most tests, so one process of xdist runs all of them.
"""
SUITES = ("tests/test_configs.py", "tests/results/test_families.py")
"""Files that read every suite, each of which one process of xdist reads once."""
LONGEST = (
    *PROCESSES,
    "tests/tracking/test_wandb.py",
    "tests/test_configs.py",
    "tests/commands/test_evaluate.py",
    "tests/attacks/test_controls.py",
    "tests/commands/test_stages.py",
    "tests/sweep/test_local_sweep.py",
    "tests/commands/test_bad_input.py",
    "tests/commands/test_train.py",
    "tests/attacks/query/test_decision.py",
    "tests/test_api.py",
    "tests/tracking/test_tracking.py",
    "tests/tracking/test_preemption.py",
    "tests/loading/test_standard_suites.py",
    "tests/commands/test_evaluate_network.py",
    "tests/transforms/test_total_variation.py",
)
"""Files that take longest. They come first, so that all processes of xdist end together."""


def pytest_configure(config):
    """Have xdist keep that order, where it would put files of many tests first."""
    config.option.loadscopereorder = False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hand out files, of which `PROCESSES` count as one, and so do `SUITES`."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return next((files[0] for files in (PROCESSES, SUITES) if file in files), file)

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items):
    """Put `LONGEST` first; all others stay in their order. Some cases are slow."""
    cases.mark_slow(items)

    def place(item):
        file = item.nodeid.split("::")[0]
        return LONGEST.index(file) if file in LONGEST else len(LONGEST)

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    """Every test and what is set up for it, from one seed and on the CPU that is asked for.

    Else a network that a fixture makes would have other weights in another order of tests.
    """
    random.seed(SEED)
    np.random.seed(SEED)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(SEED)
    with _cpu():
        return (yield)


def _cpu():
    if not ROUNDING:
        return nullcontext()
    from tests.support.rounding import OtherCPU

    return OtherCPU(int(ROUNDING))


@pytest.fixture(scope="session")
def npz(tmp_path_factory):
    """Ten classes that differ in where a bright bar is; 64 training and 30 test images."""
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    write_npz(path)
    return path


@pytest.fixture(scope="session")
def suite(tmp_path_factory):
    from tests.support.tiny import SUITE

    path = tmp_path_factory.mktemp("suite") / "tiny.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="session", autouse=True)
def _one_vega(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    quicker.share_vega(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)


@pytest.fixture(autouse=True)
def _no_run_is_left_open():
    """A run of W&B that a test leaves open is that of all tests after it."""
    yield
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


@pytest.fixture
def quiet():
    """Neither W&B nor a variable of another run, as if `train.py` had just been started."""
    with _quiet():
        yield


@pytest.fixture(scope="session")
def zygote():
    """A process that forks commands in milliseconds."""
    from tests.fuzz.zygote import Zygote

    with Zygote() as process:
        yield process


@pytest.fixture
def blank_figures(monkeypatch):
    """Figures are laid out but not rendered, which takes as long as all else of an evaluation."""
    from matplotlib.figure import Figure
    from PIL import Image

    def savefig(self, file, format):
        Image.new("L", (1, 1)).save(file, format)

    monkeypatch.setattr(Figure, "savefig", savefig)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, npz, suite):
    """Folders of a trained Squeezed and a trained Standard, in ``runs/squeezed/a`` and so on.

    To be read only: copy a folder to write into it.
    """
    from robust.commands.train import train
    from tests.support.tiny import arguments

    runs = tmp_path_factory.mktemp("trained") / "runs"
    with _quiet():
        for defense in ("Squeezed", "Standard"):
            assert train([*arguments(npz, runs, suite, defense, epochs=6), "--run.id=a"]) == 0
    return {name: runs / name / "a" for name in ("squeezed", "standard")}


def write_npz(path, *, shape=(28, 28), dtype=np.uint8, classes=10, **arrays):
    random = np.random.RandomState(0)

    def images(y):
        x = random.randint(0, 60, (len(y), *shape))
        for image, label in zip(x, y, strict=True):
            image[2 * label : 2 * label + 3] += 150
        return x.astype(dtype)

    y_train, y_test = np.arange(64) % classes, np.arange(30) % classes
    content = {"x_train": images(y_train), "y_train": y_train}
    content |= {"x_test": images(y_test), "y_test": y_test}
    np.savez(path, **content | arrays)


@contextmanager
def _quiet():
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # to wake a second one takes longer than anything on images so few
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", ["train.py"])
        monkeypatch.setenv("WANDB_MODE", "disabled")
        for name in ("ROBUST_RUN_ID", "WANDB_RUN_ID"):
            monkeypatch.setenv(name, "")  # so that what the code sets is undone
            monkeypatch.delenv(name)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(tmp_path):
    """The small data file that `linear` classifies."""
    from robust.data import ImageDataModule
    from tests.support.data_files import write_npz

    return ImageDataModule(str(write_npz(tmp_path / "tiny.npz")), eval_batch_size=10)
