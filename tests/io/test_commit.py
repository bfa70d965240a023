"""The commit of the code is that of the clone, marked where the code was changed since."""

import subprocess

import pytest

from robust.io import commit
from robust.io.version import package_version


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone with one commit, as if the package were in it."""
    (tmp_path / "robust").mkdir()
    (tmp_path / "robust/a.py").write_text("a = 1\n")
    (tmp_path / "page.md").write_text("A page.\n")
    monkeypatch.setattr(commit, "_CLONE", tmp_path)
    commit.code_commit.cache_clear()
    yield tmp_path
    commit.code_commit.cache_clear()


def git(clone, *words):
    named = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(clone), *named, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit_of(clone):
    git(clone, "init", "--quiet")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "-m", "first")
    return git(clone, "rev-parse", "--short=7", "HEAD")


def test_the_commit_of_a_clone(clone):
    first = commit_of(clone)
    assert commit.code_commit() == first


def test_another_page_is_no_change_of_the_code(clone):
    first = commit_of(clone)
    (clone / "page.md").write_text("Another page.\n")
    assert commit.code_commit() == first


def test_code_that_was_changed_since_is_marked(clone):
    first = commit_of(clone)
    (clone / "robust/a.py").write_text("a = 2\n")
    assert commit.code_commit() == f"{first}+"


def test_outside_of_a_clone_it_is_the_version(clone):
    assert commit.code_commit() == package_version()


def test_a_clone_that_git_cannot_read_has_the_version(clone):
    (clone / ".git").write_text("damaged")
    assert commit.code_commit() == package_version()
