"""Kept images: each form gives its images back, none leaves its budget, and damage is found."""

import hashlib
import io
import zipfile

import numpy as np
import pytest

from robust.results.kept import stored
from robust.results.kept.forms import FORMS, decode, encode
from robust.results.kept.stored import Frame, cut, hardware_of, merge, read_frames


def images(n=20, eps=0.3):
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (n, 1, 4, 4)).astype(np.float32) / 255
    moved = np.clip(x + random.uniform(-eps, eps, x.shape), 0, 1).astype(np.float32)
    return x, moved


def always(images, which):
    return np.ones(len(images), bool)


def never(images, which):
    return np.zeros(len(images), bool)


def frame(n=3, attack="pgd"):
    x, moved = images(n)
    form, found = encode(x, moved, always)
    return Frame(("deployed", "adaptive"), attack, np.arange(n), form, found, "a machine")


def test_pixels_are_exact():
    x, _ = images()
    pixels = np.flip(x, 0).copy()
    form, found = encode(x, pixels, never)
    assert (form == FORMS.index("uint8")).all()
    assert (decode(x, form, found) == pixels).all()


@pytest.mark.parametrize("eps", [0.1, 0.3, 8 / 255, 1e-3])
def test_deltas_leave_neither_the_budget_nor_the_box(eps):
    x, moved = images(eps=eps)
    form, found = encode(x, moved, always)
    assert (form == FORMS.index("float16")).all()
    read = decode(x, form, found)
    assert np.abs(read - moved).max() <= eps * 2**-10 + 1e-7
    assert (np.abs(read.astype(float) - x) <= np.abs(moved.astype(float) - x) + 1e-7).all()
    assert read.min() >= 0
    assert read.max() <= 1


def test_a_success_that_rounding_would_lose_is_kept_exactly():
    x, moved = images()

    def every_second(images, which):
        return np.flatnonzero(which) % 2 == 0

    form, found = encode(x, moved, every_second)
    assert form.tolist() == [1, 2] * 10
    assert (decode(x, form, found)[1::2] == moved[1::2]).all()


def test_images_that_do_not_fit_are_refused():
    x, moved = images()
    form, found = encode(x, moved, always)
    with pytest.raises(ValueError, match="do not fit"):
        decode(x, np.zeros_like(form), found)
    with pytest.raises(ValueError, match="forms"):
        decode(x, form[1:], found)


def test_every_changed_byte_of_a_file_is_found(tmp_path):
    path = tmp_path / "a.kept"
    content = frame().encoded() + frame(attack="fgsm").encoded()
    path.write_bytes(content)
    assert [each.attack for each in read_frames(path)[0]] == ["pgd", "fgsm"]
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 4
        path.write_bytes(changed)
        assert read_frames(path)[1], position


def test_parts_are_merged_without_what_a_killed_process_left(tmp_path):
    path, part = tmp_path / "a.kept", tmp_path / "a.part0.kept"
    path.write_bytes(frame().encoded())
    part.write_bytes(frame(attack="fgsm").encoded() + frame().encoded()[:-20])
    merge([part], path)
    frames, faults = read_frames(path)
    assert [each.attack for each in frames] == ["pgd", "fgsm"]
    assert (faults, part.exists()) == ([], False)
    assert hardware_of(path) == "a machine"
    assert hardware_of(tmp_path / "none.kept") == "not recorded"


def test_a_damaged_file_is_set_aside_when_frames_are_added(tmp_path):
    path, part = tmp_path / "a.kept", tmp_path / "a.part0.kept"
    damaged = frame().encoded() + b"torn"
    path.write_bytes(damaged)
    part.write_bytes(frame(attack="fgsm").encoded())
    merge([part], path)
    frames, faults = read_frames(path)
    assert ([each.attack for each in frames], faults) == (["pgd", "fgsm"], [])
    assert (tmp_path / "a.damaged.kept").read_bytes() == damaged


def test_a_frame_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    assert stored._LARGEST <= 2**30
    monkeypatch.setattr(stored, "_LARGEST", 2**24)  # to pack more than 2**30 takes six seconds
    path, packed = tmp_path / "a.kept", io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("meta.npy", "w") as member,
    ):
        for _ in range(17):
            member.write(bytes(2**20))
    payload = packed.getvalue()
    head = f"{hashlib.sha256(payload).hexdigest()} {len(payload)}\n".encode()
    path.write_bytes(head + payload + b"\n")
    assert read_frames(path) == ([], ["frame 1: it is too large"])


@pytest.mark.parametrize("torn", [1, 30, 90, 400])
def test_frames_follow_what_a_killed_process_left(tmp_path, torn):
    part = tmp_path / "a.part0.kept"
    part.write_bytes(frame().encoded() + frame(attack="torn").encoded()[:torn])
    cut(part)
    with part.open("ab") as file:
        file.write(frame(attack="fgsm").encoded())
    frames, faults = read_frames(part)
    assert ([each.attack for each in frames], faults) == (["pgd", "fgsm"], [])
