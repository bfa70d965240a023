"""A pyproject.toml that is named for its trust may be damaged in any way."""

import pytest

from robust.errors import ConfigError
from robust.loading.trust import ENVIRONMENT, entries, granted


@pytest.mark.parametrize(
    "rest",
    [
        f"n = {'1' * 5_000}",
        f"n = {'[' * 5_000}",
        "n = 0x_g",
        "d = 2026-99-99",
        "=",
        "\0",
    ],
)
def test_a_damaged_file_is_one_line(rest, tmp_path, monkeypatch):
    path = tmp_path / "pyproject.toml"
    path.write_text(f'[tool.robust]\ntrust = ["a"]\n{rest}\n')
    with pytest.raises(ConfigError, match="but there is no TOML"):
        entries(str(path))
    monkeypatch.setenv(ENVIRONMENT, str(path))
    with pytest.raises(ConfigError, match="no TOML"):
        granted()
