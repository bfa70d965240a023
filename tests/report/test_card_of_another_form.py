"""A card of another form than `robust card` writes does not stand, and is no traceback."""

import json

import pytest

from robust.errors import ConfigError
from robust.report.card.verified import verify_card

FILE = {"path": "config.yaml", "sha256": "0"}
RUN = {"name": "a/b", "folder": "a", "subject": {}, "files": [FILE]}
NO_FORM = [None, 5, "x", [], [None], [[]], 1e308]


@pytest.mark.parametrize("key", ["name", "folder", "subject", "files"])
@pytest.mark.parametrize("value", [*NO_FORM, {"a": 1}], ids=repr)
def test_a_run_of_another_form(key, value, tmp_path):
    if (key in ("name", "folder") and value == "x") or (key, value) == ("files", []):
        return
    if key == "subject" and isinstance(value, dict):
        return
    found, folders = verify_card({"runs": [{**RUN, key: value}]}, tmp_path)
    assert "does not say which runs" in found.faults[-1]
    assert folders == []


@pytest.mark.parametrize("runs", [*NO_FORM, {}, {"a": 1}], ids=repr)
def test_runs_of_another_form(runs, tmp_path):
    found, _ = verify_card({"runs": runs}, tmp_path)
    assert "does not say which runs" in found.faults[-1]


@pytest.mark.parametrize(
    "file", [*NO_FORM, {}, {"path": "a"}, {"path": 1, "sha256": "0"}], ids=repr
)
def test_a_file_of_another_form(file, tmp_path):
    found, _ = verify_card({"runs": [{**RUN, "files": [file]}]}, tmp_path)
    assert "does not say which runs" in found.faults[-1]


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000], ids=["null", "surrogate", "long"])
def test_names_that_nothing_can_have(name, tmp_path):
    (tmp_path / "a").mkdir()
    card = {"runs": [{**RUN, "files": [{"path": name, "sha256": "0"}]}]}
    found, _ = verify_card(json.loads(json.dumps(card)), tmp_path)
    assert any("cannot be read" in fault for fault in found.faults)
    with pytest.raises(ConfigError, match="where the card says"):
        verify_card({"runs": [{**RUN, "folder": name}]}, tmp_path)
