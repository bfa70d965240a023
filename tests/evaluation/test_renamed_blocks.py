"""The checksum of a block is also of its view and its attack; what is set aside is one line."""

from dataclasses import replace

import pytest

from robust.results.record_files import RecordFile
from tests.results.test_intact import ALL, HEADER


def unmerged(folder, header=HEADER):
    """A part with one block, as a killed evaluation leaves it."""
    file = RecordFile(folder, header)
    file.append(row for row in ALL if row[:2] == ("adaptive", "fgsm") and row.index < header.block)
    (part,) = folder.glob("*.part0.csv")
    return file, part


@pytest.mark.parametrize(
    ("before", "after"), [(b"adaptive,", b"deployed,"), (b",fgsm,", b",pgd,"), (b",", b",")]
)
def test_a_block_is_of_its_view_and_attack(tmp_path, before, after):
    file, part = unmerged(tmp_path)
    part.write_bytes(part.read_bytes().replace(before, after))
    assert len(file.read()) == (HEADER.block if before == after else 0)


def test_what_is_set_aside_is_one_short_line_under_the_longest_name(tmp_path, capsys):
    file, part = unmerged(tmp_path, replace(HEADER, suite="s" * 100))
    part.write_bytes(part.read_bytes().replace(b"adaptive,", b"deployed,") + b"no row\n")
    assert not file.read()
    (line,) = capsys.readouterr().err.splitlines()
    assert len(line) <= 300
