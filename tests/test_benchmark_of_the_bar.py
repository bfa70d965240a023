"""The benchmark of the bar compares pairs; it measures nothing here."""

import pytest

from tests.test_benchmarks_of_strength import imported


@pytest.mark.parametrize(("shown", "is_met"), [(1.005, True), (1.05, False)])
def test_the_bound_is_that_of_the_median_pair(monkeypatch, capsys, shown, is_met):
    module = imported("progress", monkeypatch)
    calls = []

    def seconds(attack, network, *, shown_at=shown, shown):
        calls.append(shown)
        slow = 3.0 if len(calls) in (2, 3) else 1.0  # a pair on a busy machine
        return slow * (shown_at if shown else 1.0)

    monkeypatch.setattr(module, "seconds", seconds)
    monkeypatch.setattr("sys.argv", ["progress.py", "--pairs=5", "--network=mlp"])
    if is_met:
        module.main()
    else:
        with pytest.raises(SystemExit, match="at most 1%"):
            module.main()
    text = capsys.readouterr().out
    assert f"{100 * (shown - 1):+.2f}" in text
    assert calls[1:5] == [True, False, False, True]
