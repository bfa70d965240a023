"""What tests make quicker still does what it did."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultCollection

from robust.commands.train import RobustCLI
from robust.report import javascript
from tests.support import quicker
from tests.support.tiny import ROOT


def logged():
    results = _ResultCollection(training=False)
    for value, size in ((1.0, 1), (4.0, 2)):
        results.log("test_step", "mean", torch.tensor(value), batch_size=size)
        results.log("test_step", "most", torch.tensor(value), reduce_fx=torch.max, batch_size=size)
    return {key: metric.compute().item() for key, metric in results.items()}


def test_numbers_are_logged_as_before(monkeypatch):
    found = logged()
    assert found == {"test_step.mean": 3.0, "test_step.most": 4.0}
    monkeypatch.setattr(
        "lightning.pytorch.trainer.connectors.logger_connector.result._ResultMetric.to",
        quicker.USUAL["to"],
    )
    assert logged() == found


def test_a_parser_that_was_used_parses_as_a_new_one(monkeypatch):
    """Also after a command line that ends in an error in the middle of a class."""
    monkeypatch.setattr("sys.argv", ["train.py"])
    monkeypatch.setattr(RobustCLI, "_run_subcommand", lambda self, command: None)
    words = ["fit", f"--config={ROOT / 'configs' / 'squeezed.yaml'}", "--trainer.logger=false"]

    def config():
        return RobustCLI([*words, "--run.id=a", "--model.temperature=7"]).config

    parser = RobustCLI(words).parser
    with pytest.raises(SystemExit):
        RobustCLI([*words, "--model.temperature=3", "--model.tau=x"])
    found = config()
    assert found.fit.model.init_args.temperature == 7
    assert RobustCLI(words).parser is parser
    monkeypatch.setattr(LightningCLI, "setup_parser", quicker.USUAL["setup_parser"])
    assert RobustCLI(words).parser is not parser
    assert config() == found


def test_the_charts_library_is_put_together_once(tmp_path, monkeypatch):
    counted = f"open({str(tmp_path / 'count')!r}, 'a').write('1'); import sys; print('\\u00e9 js')"
    monkeypatch.setattr(javascript, "_COMMAND", counted)
    monkeypatch.setenv(quicker.VEGA, "")
    quicker.share_vega(tmp_path)

    def ask(_):
        words = [sys.executable, "-c", javascript._COMMAND]
        return subprocess.run(words, capture_output=True, encoding="utf-8", check=True).stdout

    with ThreadPoolExecutor() as pool:
        assert set(pool.map(ask, range(3))) == {"\u00e9 js\n"}
    assert (tmp_path / "count").read_text() == "1"
