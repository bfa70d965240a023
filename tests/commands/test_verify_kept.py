"""`robust verify`: kept images that are gone or replaced are found by the header alone."""

import json
import os

import pytest

from robust.commands.main import main
from robust.evaluation.kept.images import KeptImages
from robust.report.card.verified import in_short, verify_card, verify_records
from robust.results.kept.promised import KeptBytes
from robust.results.kept.stored import read_frames
from robust.results.record_files import RecordFile
from robust.results.stored.headers import header_text, read_header
from tests.results.test_kept import frame
from tests.support.factories import evaluation, info

pytestmark = pytest.mark.usefixtures("quiet")


def kept_of(run):
    (path,) = run.glob("records/*.kept")
    return path


def verified(run, capsys):
    code = main(["verify", str(run), "--numbers"])
    return code, capsys.readouterr().out


def gone(path):
    path.unlink()


def emptied(path):
    path.write_bytes(b"")


def another(path):
    path.write_bytes(frame().encoded())


def shorter(path):
    frames, _ = read_frames(path)
    path.write_bytes(b"".join(each.encoded() for each in frames[:-1]))


def folder(path):
    path.unlink()
    path.mkdir()


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("replace", "why"),
    [
        (gone, "is missing, which the header names"),
        (emptied, "is not the one that the header names"),
        (another, "is not the one that the header names"),
        (shorter, "is not the one that the header names"),
        (folder, "is no regular file"),
        (pipe, "is no regular file"),
        (link, "is no regular file"),
    ],
)
def test_kept_images_that_are_gone_or_replaced_do_not_stand(run, replace, why, capsys):
    assert verified(run, capsys)[0] == 0
    replace(kept_of(run))
    code, out = verified(run, capsys)
    assert (code, f"{kept_of(run).name if replace is not gone else '.kept'} {why}." in out) == (
        3,
        True,
    ), out


def test_frames_that_another_evaluation_has_added_stand(run, capsys):
    with kept_of(run).open("ab") as file:
        file.write(frame().encoded())
    assert verified(run, capsys)[0] == 0


def test_a_header_of_an_earlier_version_names_none(run, capsys):
    path = kept_of(run)
    head = path.with_suffix(".json")
    content = json.loads(head.read_text())
    del content["kept"]
    head.write_text(header_text(content))
    path.unlink()
    assert verified(run, capsys)[0] == 0


@pytest.mark.parametrize("content", [None, [], "x", {"bytes": "1", "sha256": "x"}, {"bytes": 1}])
def test_another_form_names_none(content):
    assert KeptBytes.from_plain(content) is None


def test_what_the_header_names_is_read_and_written_again(tmp_path):
    found = evaluation({"fgsm": info()}, {("adaptive", "fgsm"): 1}, n=3)
    file = RecordFile(tmp_path, found.header)
    file.kept = KeptBytes(3, "ab")
    file.append(found.rows)
    file.merge()
    again = RecordFile(tmp_path, found.header)
    again.read()
    again.merge()
    assert read_header(file.path.with_suffix(".json")).kept == again.kept == KeptBytes(3, "ab")


def test_only_what_adds_frames_names_the_file_again(tmp_path):
    path = tmp_path / "a.kept"
    kept = KeptImages(tmp_path / "a.csv", evaluation({"pgd": info()}, {}).header)
    assert kept.merge() is None
    path.write_bytes(frame().encoded())
    known = kept.merge()
    assert known == KeptBytes.in_file(path)
    path.write_bytes(b"replaced")
    assert kept.merge(known) == known
    (tmp_path / "a.part0.kept").write_bytes(frame(attack="fgsm").encoded())
    assert kept.merge(known) == KeptBytes.in_file(path) != known


def test_a_run_is_called_as_in_tables(run, capsys):
    code, out = verified(run, capsys)
    assert (code, out.splitlines()[0]) == (
        *(0, "looked at squeezed/a: 1 record file, each byte of them"),
    )
    emptied(kept_of(run))
    assert "does not stand: squeezed/a/records/tiny-" in verified(run, capsys)[1]
    for path in run.glob("records/*"):
        if path.is_file():
            path.unlink()
    assert main(["verify", str(run)]) == 2
    assert "Expected records of squeezed/a" in capsys.readouterr().err


def test_of_each_file_twenty_faults_are_named():
    faults = [f"a.csv: the success on image {i}." for i in range(75)]
    told = list(in_short([*faults, "b.csv: it is gone.", "a.csv: the last."]))
    assert told == [*faults[:20], "a.csv: and 56 more.", "b.csv: it is gone."]
    assert list(in_short(faults[:20])) == faults[:20]


def test_the_last_line_counts_all(run, monkeypatch, capsys):
    path = "robust.report.card.verified.record_faults"
    monkeypatch.setattr(path, lambda path: [f"fault {i}" for i in range(50)])
    assert len(verify_records(run).faults) == 50
    code, out = verified(run, capsys)
    assert (code, out.count("does not stand: ")) == (3, 21)
    assert out.splitlines()[-1] == "50 do not stand."


def test_differences_of_a_card_are_faults_of_the_card(tmp_path, monkeypatch):
    run = {"name": "a/b", "folder": "r", "subject": {}, "files": [], "evaluations": list(range(30))}
    (tmp_path / "r").mkdir()
    derived = [{**run, "evaluations": list(range(30, 60))}]
    monkeypatch.setattr("robust.report.card.verified.content_of", lambda *args: derived)
    found, folders = verify_card({"runs": [run]}, tmp_path)
    assert folders == [(tmp_path / "r").resolve()]
    assert list(in_short(found.faults))[-1].startswith("card.json: and ")
