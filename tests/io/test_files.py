"""Files are replaced as one, never written through a link, and read only if they are files."""

import os
import socket
import time

import pytest

from robust.errors import ConfigError
from robust.io import files


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    files.write(path, "old")
    path.chmod(0o640)
    files.write(path, "né\r\n")
    assert path.read_bytes() == "né\r\n".encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_error_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "a.txt"
    files.write(path, "old")
    with pytest.raises(TypeError), files.replacing(path) as file:
        file.write(5)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_replaced_and_its_target_left_alone(tmp_path, there):
    target, path = tmp_path / "target", tmp_path / "a.txt"
    if there:
        target.write_text("mine")
    path.symlink_to(target)
    files.write(path, "new")
    assert not path.is_symlink()
    assert path.read_text() == "new"
    assert target.exists() == there
    assert not there or target.read_text() == "mine"


def test_the_new_name_cannot_be_foreseen(tmp_path, monkeypatch):
    names = []
    replace = os.replace
    monkeypatch.setattr("pathlib.Path.replace", lambda a, b: names.append(a.name) or replace(a, b))
    for _ in range(2):
        files.write(tmp_path / ("n" * 240), "x")
    assert len(set(names)) == 2


def test_what_a_killed_process_left_is_removed_later(tmp_path):
    path = tmp_path / "a.txt"
    old, young = tmp_path / ".a.txt.0123.new", tmp_path / ".a.txt.4567.new"
    for left in (old, young):
        left.write_text("half")
    os.utime(old, (time.time() - 3600,) * 2)
    files.write(path, "new")
    assert not old.exists()
    assert young.exists()


def test_what_another_process_writes_for_long_is_kept(tmp_path):
    path = tmp_path / "a.txt"
    with files.replacing(path) as slow:
        (name,) = os.listdir(tmp_path)
        os.utime(tmp_path / name, (time.time() - 3600,) * 2)
        files.write(path, "quick")
        slow.write(b"slow")
    assert path.read_text() == "slow"


def test_lines_are_added(tmp_path):
    path = tmp_path / "log"
    files.append(path, "one\n")
    files.append(path, "two\n", sync=False)
    assert path.read_text() == "one\ntwo\n"


def test_what_cannot_be_added_completely_is_not_added(tmp_path, monkeypatch):
    path = tmp_path / "log"
    files.append(path, "one\n")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.append(path, "two\n")
    assert path.read_text() == "one\n"


def link(path):
    (path.parent / "target").write_text("mine")
    path.symlink_to("target")


def listening(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


KINDS = {"a symbolic link": link, "a pipe": os.mkfifo, "a folder": os.mkdir, "a socket": listening}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_added_to_what_is_no_file(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket may have some hundred letters
    path = tmp_path / "log"
    KINDS[kind](path)
    with pytest.raises(OSError):  # noqa: PT011
        files.append(path, "one\n")
    with pytest.raises(ConfigError, match=f"to be a file, but got {kind}"):
        files.check_own_file(path)
    assert kind != "a symbolic link" or (tmp_path / "target").read_text() == "mine"


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a socket"])
def test_what_is_no_file_is_not_read_or_waited_for(tmp_path, kind):
    path = tmp_path / "x"
    KINDS[kind](path)
    with pytest.raises(OSError):  # noqa: PT011
        files.read(path)


def test_a_file_is_read_up_to_a_size(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert files.read(path) == files.read(path, most=5) == b"12345"
    with pytest.raises(OSError, match="larger than"):
        files.read(path, most=4)


def test_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "records").symlink_to("elsewhere")
    with pytest.raises(ConfigError, match="records to be a folder, but got a symbolic link"):
        files.own_folder(tmp_path / "records")
    files.own_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_an_output_may_be_a_device_and_a_link_is_replaced(tmp_path):
    files.write_output(tmp_path / "new.md", "x")
    (tmp_path / "link.md").symlink_to("new.md")
    files.write_output(tmp_path / "link.md", "y")
    assert (tmp_path / "new.md").read_text() == "x"
    assert (tmp_path / "link.md").read_text() == "y"
    (tmp_path / "null").symlink_to("/dev/null")
    files.write_output(tmp_path / "null", "z")
    assert (tmp_path / "null").is_symlink()
    with pytest.raises(IsADirectoryError):
        files.write_output(tmp_path, "x")
