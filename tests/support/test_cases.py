"""The default run takes a part of the cases of some tests."""

import pytest

from tests.support import cases

TEST = """
import pytest

@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("a", range(7))
def test_one(a):
    pass

@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("a", range(2))
@pytest.mark.parametrize("b, c", [(0, 0), (1, 1)])
def test_pairs(a, b, c):
    pass

def test_alone():
    pass
"""
DEFAULT = {"one[0]", "one[3]", "one[6]", "pairs[0-0-0]", "pairs[1-1-1]", "alone"}
SLOW = {"one[1]", "one[2]", "one[4]", "one[5]", "pairs[0-0-1]", "pairs[1-1-0]"}


class Kept:
    """A plugin that samples, and remembers the names of what is left."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items):
        cases.mark_slow(items)

    def pytest_collection_finish(self, session):
        self.names = {item.name.removeprefix("test_") for item in session.items}


@pytest.mark.parametrize(("asked", "names"), [("not slow", DEFAULT), ("slow", SLOW)])
def test_a_sample_runs_by_default(asked, names, tmp_path):
    path, kept = tmp_path / "test_it.py", Kept()
    path.write_text(TEST)
    left_out = [word for name in ("xdist", "cacheprovider") for word in ("-p", f"no:{name}")]
    options = [
        "-q",
        "--collect-only",
        "--import-mode=importlib",
        "-W",
        "ignore",
        "-c",
        "/dev/null",
        *left_out,
    ]
    assert pytest.main([str(path), f"--rootdir={tmp_path}", "-m", asked, *options], [kept]) == 0
    assert kept.names == names
