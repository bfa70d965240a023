"""What tests do not wait for, since it is others' and no test asks about it.

Each of these does the same in less time; what is ours runs as users run it.
"""

import gc
import importlib
import os
import sys
from pathlib import Path

HEAVY = ("wandb", "wandb.sdk.launch", "torch", "lightning.pytorch", "torchattacks")
"""What is imported before any of our packages.

W&B imports its second one when a run begins. Its classes look for their source among all modules,
so they come before torch.
"""

VEGA = "ROBUST_TEST_VEGA"
"""The variable that tells processes that tests start where the JavaScript of the charts is."""

USUAL = {}
"""What was replaced."""


def import_heavy():
    """Import it in this order."""
    for name in HEAVY:
        importlib.import_module(name)


def install():
    """Have others do at once what they can, in a process that has imported Lightning."""
    _stop_progress_bars_at_once()
    _leave_numbers_where_they_are()
    _make_each_parser_once()
    _read_no_docstrings()
    os.fsync = _nothing  # the machine does not lose its power meanwhile


def leave_garbage():
    """Nothing that is imported and collected is garbage, so it is not looked for meanwhile."""
    gc.disable()


def forget_garbage():
    """Nothing that is there already is looked through again for garbage: no test makes it any.

    What tests leave is looked for every 50,000 objects, where Python would do so every 700.
    """
    gc.enable()
    gc.set_threshold(50_000, 20, 100)
    gc.freeze()


def _nothing(file):
    """Return at once, where the disk would be waited for."""


def _stop_progress_bars_at_once():
    """Lightning's thread sleeps a tenth of a second before it sees that its bar has ended."""
    from lightning.pytorch.callbacks.progress import rich_progress

    def run(self):
        while not self.done.wait(1 / self.refresh_per_second):
            if self.refresh_cond:
                with self.live._lock:
                    self.live.refresh()
                self.refresh_cond = False

    if hasattr(rich_progress, "_RefreshThread"):  # not in 2.6.0
        rich_progress._RefreshThread.run = run


def _leave_numbers_where_they_are():
    """Lightning copies all that describes a logged number whenever it is logged, to move it."""
    import torch
    from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultMetric

    usual = USUAL.setdefault("to", _ResultMetric.to)

    def to(self, *args, **kwargs):
        values = list(vars(self).values())
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        asked = (torch.device("cpu"),), {}
        there = self.is_tensor and all(tensor.device.type == "cpu" for tensor in tensors)
        return self if there and (args, kwargs) == asked else usual(self, *args, **kwargs)

    _ResultMetric.to = to


PARSERS = "parser", "_subcommand_parsers", "_subcommand_method_arguments"
"""What Lightning's command line makes before it parses, and what parsing leaves as it is."""


def _make_each_parser_once():
    """The parsers of `train.py` take as long to make as all else of a mistake that they find."""
    from lightning.pytorch.cli import LightningCLI

    usual, made = USUAL.setdefault("setup_parser", LightningCLI.setup_parser), {}

    def setup_parser(self, *args, **kwargs):
        if not hasattr(self, "_asked"):  # another command line than ours
            return usual(self, *args, **kwargs)
        asked = self._asked if self._asked in self.subcommands() else None
        key = type(self), type(self)._add_arguments, asked, sys.argv[0]
        if key not in made:
            usual(self, *args, **kwargs)
            made[key] = {name: getattr(self, name) for name in PARSERS}
        vars(self).update(made[key])

    LightningCLI.setup_parser = setup_parser


def _read_no_docstrings():
    """W&B's answers from a server describe their fields by docstrings, whose source is looked for.

    Among all modules of a test run that takes three seconds.
    """
    from pydantic._internal import _fields

    if hasattr(_fields, "extract_docstrings_from_cls"):
        _fields.extract_docstrings_from_cls = lambda *_, **__: {}


def share_vega(folder: Path):
    """Put the JavaScript of the charts together once for all processes of a test run.

    The first that asks does it as users do; it takes two seconds.

    Args:
        folder: Of this run of the tests, and of no other.
    """
    from robust.report import javascript

    os.environ[VEGA] = str(folder)
    javascript._COMMAND = f"""import fcntl, pathlib, sys
kept = pathlib.Path({str(folder / "vega.js")!r})
with open({str(folder / "vega.lock")!r}, "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not kept.exists():
        import contextlib, io
        with contextlib.redirect_stdout(io.StringIO()) as text:
            exec({javascript._COMMAND!r})
        kept.with_suffix(".new").write_text(text.getvalue(), encoding="utf-8")
        kept.with_suffix(".new").rename(kept)
sys.stdout.write(kept.read_text(encoding="utf-8"))"""
