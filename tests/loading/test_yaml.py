"""Every YAML is read by one strict loader, and what is written reads back."""

import contextlib
import math
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import _loaders_dumpers

from robust.errors import ConfigError
from robust.io.strict_yaml import StrictYAMLError, load, plain_scalar, read
from robust.io.yaml_writing import dump
from robust.loading.parsing.fractions import PARSER_MODE, flag_value, read_yaml
from robust.loading.parsing.parser import Parser
from robust.loading.parsing.rules import restricted

NUMBERS = {
    "8/255": 8 / 255,
    "-1/4": -0.25,
    "0.3/255": 0.3 / 255,
    "1e-3": 1e-3,
    "1E5": 1e5,
    "-.5": -0.5,
    "1.": 1.0,
    "+5": 5,
    "0": 0,
    "1_000": 1000,
    "0x1F": 31,
    "-0b11": -3,
    ".inf": math.inf,
    "-.INF": -math.inf,
    "true": True,
    "Yes": True,
    "off": False,
    "~": None,
    "null": None,
}
TEXTS = (
    *("010", "08", "0o10", "1:30", "00:10:00:00", "10:00:00:00", "2020-01-01", "5e12345", "1e999"),
    *("1/0", "1/2/3", "a/2", "./1/2", "--1/2", "..", "._", "0x", "0b_", "=", "yEs", "1.2.3"),
    "9" * 5000 + "/3",
)
LAUGHS = "".join(
    f"{name}: &{name} [{','.join([value] * 9)}]\n"
    for name, value in zip("abcdefghi", ("x", *(f"*{c}" for c in "abcdefgh")), strict=True)
)
REFUSED = {
    "a: {x: 1, x: 2}": "line 1: the key 'x' is there twice",
    "a: 1\nb:\n  c: 1\n  d: 1\n  c: 2\n": "line 5: the key 'c' is there twice, first in line 3",
    "1: a\n'1': b": "line 2: the key '1' is there twice",
    "1: a\n1.0: b": "line 2: the key '1.0' is there twice",
    "yes: a\ntrue: b": "line 2: the key 'true' is there twice",
    "null: a\n~: b": "line 2: the key '~' is there twice",
    "x: &x {a: 1}\ny: {<<: *x, b: 1, b: 2}": "line 2: the key 'b' is there twice",
    "x: &x {a: 1}\ny: {<<: *x, <<: *x}": "line 2: the key '<<' is there twice",
    "- {a: 1, 'a': 2}": "line 1: the key 'a' is there twice",
    "? [a]\n: b": "line 1: a list or mapping is a key",
    "a: {<<: 5}": "takes a mapping",
    "run: {tags: &a [*a]}": r"the alias \*a is inside of what it names",
    "a: *b": "there is no &b before",
    LAUGHS: "aliases expand",
    f"a: &a {'x' * 1000}\nb: [{','.join(['*a'] * 200)}]": "aliases expand",
    "a: " + "[" * 500 + "]" * 500: "line 1: it is nested more than 50 levels deep",
    "a: " + "{a: " * 500 + "}" * 500: "line 1: it is nested more than 50 levels deep",
    "[" * 200_000: "nested",
    "- " * 5000 + "a": "nested",
    "seed_everything: !!int abc": "line 1: the tag !!int is not allowed",
    "a: !!python/object/apply:os.system [ls]": "the tag !!python/object/apply:os.system",
    "a:\n  !x {b: 1}": "line 2: the tag !x",
    "a: ! b": "the tag ! is not allowed",
    "--- a\n--- b\n": "line 2: a second document",
    "a: 1\n...\nb: 2": "line 3",
    "a: " + "9" * 5000: "line 1: a number of 5000 digits is too long",
    "a: 1\n\tb: 2": "line 2: found .*tab",
    "a: 1\nb: \x07": r"line 2: the character '\\x07' is not allowed",
    "a: [1\n": "line 2: did not find expected",
    "a: b: c": "line 1: mapping values",
    "%YAML 3.0\n--- a": "incompatible",
}


@pytest.mark.parametrize("text", NUMBERS)
def test_plain_words_that_are_no_text(text):
    expected = NUMBERS[text]
    for value in (load(f"a: {text}")["a"], load(f"[{text}]")[0], flag_value(text, "--x")):
        assert value == expected
        assert type(value) is type(expected)


@pytest.mark.parametrize("text", TEXTS)
def test_plain_words_that_are_text(text):
    assert load(f"a: {text}") == {"a": text}


@pytest.mark.parametrize("text", [*NUMBERS, *TEXTS])
def test_in_quotes_all_is_text(text):
    assert load(f"a: '{text}'\nb: [\"{text}\"]") == {"a": text, "b": [text]}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_refused(text, tmp_path):
    began = time.perf_counter()
    with pytest.raises(StrictYAMLError, match=REFUSED[text]) as error:
        load(text)
    assert time.perf_counter() - began < 5
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=REFUSED[text]) as error:
        read(tmp_path / "a.yaml", "a.yaml")
    assert str(error.value).startswith("Expected a YAML file at a.yaml, but")


def test_anchors_and_merge_keys():
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 5}\nd: *a\ne: {'<<': 1}"
    content = load(text)
    assert content["c"] == {"x": 5, "y": 2, "z": 4}
    assert content["e"] == {"<<": 1}
    content["a"]["x"] = 0
    assert content["d"] == {"x": 1, "y": 2}  # not the same object


def test_it_reads_what_yaml_reads():
    text = "a: [1, 2.5, {b: c}, [], {}]\n'x y': |\n  two\n  lines\nz: >\n  one\n  line\nn:\n- a\n"
    assert load(text) == yaml.safe_load(text)
    assert load("") is None
    assert load("# nothing") is None


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_text_that_is_written_reads_back(text):
    assert load(dump({"a": text, "b": [text]})) == {"a": text, "b": [text]}


@settings(max_examples=40, deadline=None)
@given(st.from_regex(r"[-+]?[0-9._:eExb/~yn]{1,8}|\.(inf|nan)|null|true|NO|on", fullmatch=True))
def test_what_looks_like_a_number_reads_back_as_text(text):
    written = dump({"a": text, text: 1})
    assert load(written) == {"a": text, text: 1}
    assert yaml.safe_load(written) == {"a": text, text: 1}  # for other readers


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("a1/:.e-"),
        lambda parts: (
            st.lists(parts, max_size=3) | st.dictionaries(st.text("ab1"), parts, max_size=3)
        ),
        max_leaves=10,
    )
)
def test_values_that_are_written_read_back(value):
    back = load(dump({"a": value}))["a"]
    assert back == value
    assert repr(back) == repr(value)  # 1, 1.0 and true differ


@settings(max_examples=40, deadline=None)
@given(st.text("[]{}&*!a1b:, -\n\"'<", max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(StrictYAMLError):
        load(text)


ENCODINGS = {
    "UTF-16": ("utf-16", "utf-16-le", "utf-16-be"),
    "UTF-32": ("utf-32", "utf-32-le", "utf-32-be"),
    "the byte 0xed in line 2, as of Latin-1": ("latin-1",),
}


@pytest.mark.parametrize(
    ("encoding", "name"), [(code, name) for name, codes in ENCODINGS.items() for code in codes]
)
def test_other_encodings_are_named(tmp_path, encoding, name):
    path = tmp_path / "a.yaml"
    path.write_bytes("a: 1\nrun: {name: \xed}\n".encode(encoding))
    with pytest.raises(ConfigError, match=f"UTF-8 in .*, but got {name}. Save it"):
        read_yaml(path)


def test_a_byte_order_mark_is_no_letter(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9\r\n")
    assert read_yaml(path) == {"a": "é"}


def test_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, kind in (("pipe", "a pipe"), ("", "a folder"), ("none", "No such file")):
        with pytest.raises(ConfigError, match=kind):
            read_yaml(tmp_path / name)
    with pytest.raises(ConfigError, match="a device"):
        read_yaml(Path("/dev/zero"))
    with pytest.raises(ConfigError, match="null"):
        read_yaml(Path("a\0b"))


def test_a_file_of_many_megabytes(tmp_path):
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(20 << 20)
    with pytest.raises(ConfigError, match="at most 16 MiB"):
        read_yaml(path)


@pytest.fixture
def parser():
    made = Parser()
    made.add_argument("--config", action="config")
    made.add_argument("--number", type=float | None)
    made.add_argument("--name", type=str | None)
    made.add_argument("--names", type=list[str] | None)
    made.add_argument("--table", type=dict[str, float] | None)
    made.add_argument("--any", type=Any)
    return made


@pytest.mark.parametrize("text", ["8/255", "1e-3", "-.5", "3"])
def test_flags_and_files_read_one_number(parser, tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(f"number: {text}\nany: {text}\ntable: {{a: {text}}}")
    table = f"--table={{a: {text}}}"
    for args in ([f"--config={path}"], [f"--number={text}", f"--any={text}", table]):
        found = parser.parse_args(args)
        assert found.number == found.any == found.table["a"] == plain_scalar(text)


def test_names_that_look_like_numbers_stay(parser, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text('name: "3/4"\nnames: ["1e5", "null", "010"]')
    found = parser.parse_args([f"--config={path}"])
    assert (found.name, found.names) == ("3/4", ["1e5", "null", "010"])
    assert parser.parse_args(["--name=3/4"]).name == "3/4"


@pytest.mark.parametrize(
    "name",
    ["5e12345", "1e5", "010", "1:30", "8/255", "true", "on", "0x1", "1_0", "2020-01-01", "="],
)
def test_a_config_that_is_written_gives_back_what_went_in(parser, tmp_path, name):
    path = tmp_path / "a.yaml"
    given = parser.parse_args([f"--name={name}", f"--names=['{name}', 'null', '~']"])
    assert given.name == name
    path.write_text(parser.dump(given, skip_unset=False))
    assert parser.parse_args([f"--config={path}"]).as_dict() | {"config": None} == {
        **given.as_dict(),
        "config": None,
    }


@pytest.mark.parametrize(
    "words",
    ["name:", "{a, b}", "5:", "on:", "[bold]x", "a: b: c", "!x", "*", "#1", "# a", "&a", "a #1"],
)
def test_words_that_are_no_yaml_stay_words(parser, words, tmp_path):
    given = parser.parse_args([f"--name={words}"])
    assert given.name == words
    (tmp_path / "a.yaml").write_text(parser.dump(given, skip_unset=False))
    assert parser.parse_args([f"--config={tmp_path / 'a.yaml'}"]).name == words


def test_what_has_a_type_is_read_by_the_same_loader():
    with restricted():
        assert _loaders_dumpers.basic_json_or_yaml_load("8/255") == 8 / 255
        assert _loaders_dumpers.basic_json_or_yaml_load("00:10:00:00") == "00:10:00:00"
        with pytest.raises(yaml.YAMLError, match="expand"):
            _loaders_dumpers.basic_json_or_yaml_load(LAUGHS)
    assert PARSER_MODE in _loaders_dumpers.dumpers


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_a_config_that_is_refused_is_named(parser, capsys, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises((SystemExit, ConfigError)) as error:
        parser.parse_args(["--config=a.yaml"])
    told = capsys.readouterr().err if error.type is SystemExit else f"error: {error.value}\n"
    assert re.match("error: Expected a YAML file at a.yaml, but cannot read it .line", told), told
    assert len(told) <= 300
    assert told.count("\n") == 1


def test_a_number_of_many_digits(parser, capsys):
    for flag in ("number", "table", "names"):
        with pytest.raises(SystemExit):
            parser.parse_args([f"--{flag}={{a: {'9' * 5000}}}"])
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert len(told) <= 300
