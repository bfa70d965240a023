"""Our rules for jsonargparse are in force while our parsers work, and at no other time."""

import pytest
import torch
from jsonargparse import ArgumentParser, _actions, _common, _loaders_dumpers, _paths
from torch import nn

from robust.errors import ConfigError
from robust.loading.parsing.rules import restricted
from robust.loading.suites import read_suite

PLACES = [(_actions, "import_object"), (_paths.Path, "read_text")]
PLACES += [(_loaders_dumpers, "yaml_default_loader")]


def state():
    return [dict(_common.parsing_settings), *(getattr(*place) for place in PLACES)]


class Holder:
    def __init__(self, transform: torch.nn.Module, anything=None):
        self.transform, self.anything = transform, anything


def test_they_end_with_the_call(suite, tmp_path):
    before = state()
    read_suite(suite)
    assert state() == before
    with restricted():
        assert state() != before
        with restricted():
            pass
        assert state() != before
    assert state() == before
    (tmp_path / "bad.yaml").write_text("attacks: {a: {class_path: subprocess.Popen}}")
    with pytest.raises(ConfigError):
        read_suite(tmp_path / "bad.yaml")
    assert state() == before


def test_a_users_own_parser_builds_what_it_likes(suite, monkeypatch):
    monkeypatch.setenv("ROBUST_TRUST", "")
    read_suite(suite)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Holder, "holder")
    own = {"class_path": f"{__name__}.OwnTransform", "init_args": {}}
    config = parser.parse_object({"holder": {"transform": own}})
    assert isinstance(parser.instantiate(config).holder.transform, OwnTransform)


class OwnTransform(nn.Identity):
    pass


def test_a_users_own_list_gives_ours_no_rights():
    earlier = dict(_common.parsing_settings)
    try:
        _common.set_parsing_settings(import_path_allowlist=["fractions.Fraction"])
        with restricted():
            assert _common.denying_import_path_entry("fractions.Fraction") == "*"
            assert _common.denying_import_path_entry("torch.nn.ReLU") is None
    finally:
        _common.parsing_settings.update(earlier)


def test_files_name_a_class_where_it_is_at_home():
    """The face has it, too, and jsonargparse takes the shortest path that it finds."""
    from jsonargparse._util import get_import_path

    import robust

    homes = {robust.MLP: "robust.networks.MLP", robust.Squeezed: "robust.defenses.Squeezed"}
    homes |= {robust.ImageDataModule: "robust.data.ImageDataModule"}
    homes |= {robust.ThreatModel: "robust.threat.ThreatModel"}
    assert {kind: get_import_path(kind) for kind in homes} == homes
