"""An evaluation keeps successes of its first images, each in a form that still succeeds."""

import pytest
import torch

from robust.commands.options.evaluate import parse_options
from robust.defenses import Standard
from robust.evaluation.kept.images import KeptImages, keeping
from robust.results.kept.forms import decode
from robust.results.kept.sheets import Sheet, sheet_path
from robust.results.kept.stored import read_frames
from tests.support.factories import evaluate, header, info, linear


def frames_of(folder):
    return [frame for path in folder.glob("records/*.kept") for frame in read_frames(path)[0]]


@pytest.mark.parametrize(("keep", "fewer"), [(3, True), ("all", False)])
def test_what_is_kept_succeeds(data, tmp_path, keep, fewer):
    with keeping(keep):
        result, _ = evaluate(data, tmp_path)
    info = result.header.attacks["pgd"]
    rows = result.select("adaptive", "pgd")
    successes = set(rows["index"][info.misclassified_within_eps(rows)].tolist())
    frames = [frame for frame in frames_of(tmp_path) if "adaptive" in frame.views]
    index = [i for frame in frames for i in frame.index.tolist()]
    assert set(index) == {i for i in successes if not fewer or i < 3}
    assert 0 < len(index) == len(set(index))
    defense = Standard(linear())
    for frame in frames:
        samples = [data.test_samples(int(i), int(i) + 1) for i in frame.index]
        x, y = (torch.cat([sample[k] for sample in samples]) for k in (0, 1))
        x_adv = torch.from_numpy(decode(x.numpy(), frame.form, frame.images))
        assert (defense(x_adv).argmax(dim=1) != y).all()


def test_nothing_is_kept_if_asked(data, tmp_path):
    with keeping(0):
        evaluate(data, tmp_path)
    assert frames_of(tmp_path) == []
    assert list(tmp_path.rglob("*.png")) == []


def test_the_first_clean_images_are_beside_the_records(data, tmp_path):
    result, _ = evaluate(data, tmp_path)
    sheet = Sheet.read(sheet_path(tmp_path / "records", result.header.data_sha256))
    x, _, _ = data.test_samples(0, len(sheet.x))
    assert len(sheet.x) == 7  # the first block has so many
    assert (sheet.x.transpose(0, 3, 1, 2) == (255 * x).round().numpy()).all()


def test_a_second_evaluation_keeps_nothing_twice(data, tmp_path):
    for _ in range(2):
        evaluate(data, tmp_path)
    found = [(f.views, f.attack, i) for f in frames_of(tmp_path) for i in f.index.tolist()]
    assert len(found) == len(set(found))


def test_parts_of_a_suite_of_any_name_are_merged(tmp_path):
    parts = [tmp_path / f"s [x]*-1.part{rank}.kept" for rank in (0, 1)]
    for part in parts:
        part.write_bytes(b"")
    KeptImages(tmp_path / "s [x]*-1.csv", header(pgd=info())).merge()
    assert not any(part.exists() for part in parts)


def test_of_large_images_fewer_are_kept(tmp_path):
    kept = KeptImages(tmp_path / "a.csv", header(pgd=info()))
    assert [kept._most(torch.zeros(1, 3, n, n)) for n in (28, 224, 4000)] == [64, 13, 1]


def test_a_number_or_all_is_asked_for(capsys):
    assert parse_options(["run", "--keep", "all"]).keep == "all"
    assert parse_options(["run", "--keep", "5"]).keep == 5
    with pytest.raises(SystemExit):
        parse_options(["run", "--keep", "-1"])
    assert "expected a number such as 64, or all" in capsys.readouterr().err
