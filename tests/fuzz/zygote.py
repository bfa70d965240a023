"""A process that has imported everything, and forks a command of ours in milliseconds.

The seconds that torch takes to import are paid once. A forked command has its own folder, output
and signals, so it can be watched and killed as one that a shell started.
"""

import contextlib
import ctypes
import io
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tests.support.forkserver import FORKSERVER

ROOT = Path(__file__).parents[2]
PROGRAMS = ("train.py", "evaluate.py", "sweep")
SECONDS, RESIDENT = 60.0, 2 << 30
_SUBREAPER = 36


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Args:
        code: Its exit code; minus the signal that ended it.
        out: What it printed.
        err: And on standard error.
        seconds: Wall time, without what it waited for a core.
        resident: The most memory that was seen, in bytes.
        stopped: Why it was killed: ``seconds`` or ``memory``; empty if it was not.
    """

    code: int
    out: str
    err: str
    seconds: float
    resident: int
    stopped: str


class Zygote:
    """The client's side; a context manager that ends the process."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "disabled"}
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        for name in ("ROBUST_RUN_ID", "WANDB_RUN_ID"):
            environment.pop(name, None)
        self._link, others = FORKSERVER.Pipe()
        self._process = FORKSERVER.Process(target=_main, args=(others, environment))
        self._process.start()
        others.close()

    def run(
        self,
        program: str,
        args: list[str],
        folder: Path,
        *,
        kill_after: float | None = None,
        seconds: float = SECONDS,
        resident: int = RESIDENT,
        environment: dict[str, str] | None = None,
    ) -> Outcome:
        """Run a command in a folder, in which ``.out`` and ``.err`` are to be its output.

        Args:
            program: One of `PROGRAMS`.
            args: What follows it.
            folder: The current directory.
            kill_after: Seconds after which SIGKILL ends it, and nothing that it started.
            seconds: The most that it may take.
            resident: The most memory that it may have.
            environment: Variables that differ.
        """
        request = {
            "program": program,
            "args": args,
            "folder": str(folder),
            "kill_after": kill_after,
            "seconds": seconds,
            "resident": resident,
            "environment": environment or {},
        }
        self._link.send(request)
        answer = self._link.recv()
        texts = [(folder / name).read_bytes().decode(errors="replace") for name in (".out", ".err")]
        for name in (".out", ".err"):
            (folder / name).unlink()
        return Outcome(
            answer["code"], *texts, *(answer[k] for k in ("seconds", "resident", "stopped"))
        )

    def __enter__(self) -> "Zygote":
        return self

    def __exit__(self, *_) -> None:
        self._link.close()
        self._process.join(30)


def _main(link: Connection, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    _import_everything()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    with contextlib.suppress(EOFError):
        while True:
            link.send(_serve(link.recv()))
    os._exit(0)  # without the complaints of extensions about what is left


def _import_everything() -> None:
    import gc

    gc.disable()
    from robust.report.javascript import bundling
    from tests.support import quicker

    if quicker.VEGA in os.environ:
        quicker.share_vega(Path(os.environ[quicker.VEGA]))

    script = bundling()  # in a process of its own, meanwhile
    quicker.import_heavy()
    import altair
    import lightning.pytorch.loggers.wandb
    import matplotlib.pyplot
    import torch
    import vl_convert
    import wandb

    import robust.commands.evaluate
    import robust.commands.sweep
    import robust.commands.train
    import robust.measures.measured_tables
    import robust.networks
    import robust.report.page

    torch.set_num_threads(1)
    robust.commands.sweep._POLL = 0.05
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        robust.commands.train.train(
            ["fit", "--print_config"]
        )  # what jsonargparse keeps of the signatures
    script()
    assert altair, (matplotlib, vl_convert, wandb, lightning)
    gc.freeze()


def _serve(request: dict) -> dict:
    outputs = [
        os.open(Path(request["folder"], name), os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND)
        for name in (".out", ".err")
    ]
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(request, outputs)
    for descriptor in outputs:
        os.close(descriptor)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    peak, age, stopped, killed = 0, 0.0, "", False
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        age = max(0.0, time.monotonic() - began - _waited(child))
        peak = max(peak, _resident(child))
        if not stopped and (age > request["seconds"] or peak > request["resident"]):
            stopped = "seconds" if age > request["seconds"] else "memory"
            os.killpg(child, signal.SIGKILL)
        if not killed and request["kill_after"] is not None and age > request["kill_after"]:
            killed = True
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002 if request["kill_after"] is not None else min(0.02, 0.001 + age / 20))
    if request["kill_after"] is None:
        _end_descendants()
    return {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": age,
        "resident": peak,
        "stopped": stopped,
    }


def _waited(pid: int) -> float:
    """Seconds that it waited for a core: a busy machine does not make a command slow."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _resident(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * resource.getpagesize()


def _end_descendants() -> None:
    """What a command left running is this process's child now."""
    while True:
        for task in Path("/proc/self/task").iterdir():
            for pid in (task / "children").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _become(request: dict, outputs: list[int]) -> None:
    """Be the command, in the forked process; never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(request["folder"])
        for descriptor, output in enumerate(outputs, start=1):
            os.dup2(output, descriptor)
            os.close(output)
        os.environ.update(request["environment"])
        sys.argv[:] = [request["program"], *request["args"]]
        code = _command(request["program"])()
    except SystemExit as stop:
        code = _code_of(stop)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _code_of(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return (stop.code or 0) & 255
    print(stop.code, file=sys.stderr)
    return 1


def _command(program: str):
    if program == "train.py":
        from robust.commands.train import train as command
    elif program == "sweep":
        from robust.commands.sweep import sweep as command
    elif "--report" in sys.argv:
        from robust.commands.report import report as command
    else:
        from robust.commands.evaluate import evaluate as command
    return command
