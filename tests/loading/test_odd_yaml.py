"""Configs that are no mapping, and numbers in any base that are too long, are told in one line."""

import pytest

from robust.commands.train import train
from robust.io.strict_yaml import StrictYAMLError, load

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("number", ["0x" + "f" * 5_000, "-0x1" + "0" * 4_000, "0b" + "1" * 20_000])
def test_a_number_that_cannot_be_printed_is_refused(number):
    with pytest.raises(StrictYAMLError, match=rf"a number of {len(number)} digits is too long"):
        load(f"a: {number}")
    assert load("a: 0x" + "f" * 1_000) == {"a": 16**1_000 - 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "but got 'nothing'."),
        ("# x\n", "but got '# x'."),
        ("- a\n- b\n", "but got '- a - b'."),
        ("5: 1\n", "keys of a config that are text, but got 5."),
        ("~: 1\n", "keys of a config that are text, but got None."),
        ("a: 0x" + "f" * 9_000 + "\n", "a number of 9002 digits is too long"),
    ],
)
def test_a_config_of_another_form(text, said, tmp_path, capsys):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit, match="2"):
        raise SystemExit(train(["fit", f"--config={path}"]))
    line, *more = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Expected ")
    assert said in line
    assert len(line) <= 300
    assert not more
