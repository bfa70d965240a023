"""Two runs image by image, labels that do not overlap, and thumbnails that evaluations leave."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from robust.report.packing import spread
from robust.report.paired.adversarials import adversarials
from robust.report.paired.pairs import SHOWN, pairing
from robust.report.paired.thumbnails import first_images, thumbnail
from robust.report.protocols import protocols
from robust.results.comparing.paired import Paired, clean_images, robust_images
from robust.results.kept.sheets import COLUMNS, Sheet, sheet_path
from robust.results.kept.stored import Frame, kept_path
from robust.results.record_files import RecordFile
from robust.results.records import Evaluation
from robust.results.run_folder import Reader, RunFiles
from tests.support.factories import header, info, row

VIEWS = ("deployed", "adaptive")


def rows(robust, n, attack="fgsm"):
    """Images that are wrong from the start, robust, or misclassified under the adaptive attack."""
    for i in range(n):
        clean = int(i % 11 == 0)
        for view in VIEWS:
            lost = view == "adaptive" and not robust(i) and not clean
            yield row(i, view=view, attack=attack, clean=clean, adv=2 if lost else clean)


def runs_of(*robust, n=100):
    return [
        RunFiles(
            Path(name),
            name,
            evaluations={Path(name): Evaluation(header(fgsm=info()), list(rows(each, n)))},
        )
        for name, each in zip("abc", robust, strict=False)
    ]


def unpacked(text, n):
    return np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8))[:n].astype(bool)


def test_bits_say_which_images_are_right():
    (protocol,) = protocols(runs_of(lambda i: i % 2 == 0, lambda i: i < 30))
    pairs = pairing(protocol)
    assert pairs["index"] == list(range(100))
    for entry in protocol.entries:
        bits = pairs["runs"][entry.label]["right"]
        assert set(bits) == {"clean", *VIEWS, "every view"}
        for what, text in bits.items():
            images = (
                clean_images(entry.evaluation)
                if what == "clean"
                else robust_images(entry.evaluation, what)
            )
            assert unpacked(text, 100).tolist() == images.right.tolist()
    assert pairs["labels"].keys() == set(range(SHOWN))
    assert pairs["first"]["a"]["clean"] == {i: [1] for i in range(0, SHOWN, 11)}
    assert pairs["first"]["a"]["adaptive"][1] == [2, 0]
    json.dumps(pairs)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([50.0, 10.0], [50.0, 10.0]),
        ([10.0, 10.0], [9.0, 11.0]),
        ([10.0, 11.0, 30.0, 10.0], [9.3333, 12.3333 - 1, 30.0, 0]),
    ],
)
def test_labels_stand_apart_as_near_as_possible(values, expected):
    found = spread(values, 2.0)
    gaps = np.diff(sorted(found))
    assert (gaps >= 2.0 - 1e-9).all()
    if len(values) < 4:
        assert found == pytest.approx(expected)
    assert sum(found) == pytest.approx(sum(values))


def test_labels_keep_above_the_axis():
    assert spread([0.0, 0.0, 50.0], 4.0, 0.0) == [0.0, 4.0, 50.0]


@pytest.mark.parametrize("shape", [(64, 8, 8, 1), (5, 4, 6, 3), (9, 8, 8, 1)])
def test_a_sheet_gives_back_its_images(tmp_path, shape):
    x = np.random.RandomState(0).randint(0, 256, shape, dtype=np.uint8)
    Sheet(x).write(tmp_path / "images.png")
    assert (Sheet.read(tmp_path / "images.png").x == x).all()
    assert Sheet(x).image().size[0] == COLUMNS * shape[2]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ((20_000, 20_000), "64 2500 2500"),  # small as a file, and larger than what Pillow opens
        ((10_000, 10_000), "64 1250 1250"),  # of which it warns
        ((8_000, 8_000), "64 1000 1000"),
        ((8, 8), "1 1 1"),
        ((8, 1), "1 1"),
    ],
)
def test_a_sheet_that_would_fill_the_memory_or_fits_nothing_is_refused(tmp_path, size, text):
    told = PngInfo()
    told.add_text("images", text)
    Image.new("1", size).save(tmp_path / "images.png", pnginfo=told)
    with pytest.raises(ValueError, match=r"."):
        Sheet.read(tmp_path / "images.png")


def keep(record, x_adv, index, *, views=("adaptive",)):
    """Keep adversarial images of an attack, as an evaluation does."""
    form = np.zeros(len(index), np.int8)
    kinds = {"uint8": np.uint8, "float16": np.float16, "float32": np.float32}
    images = {name: np.zeros((0, *x_adv.shape[1:]), kind) for name, kind in kinds.items()}
    frame = Frame(views, "fgsm", np.array(index), form, images | {"uint8": x_adv}, "a machine")
    kept_path(record).write_bytes(frame.encoded())


def write_runs(root, sheet=None):
    for name, robust in (("a", lambda i: i % 2 == 0), ("b", lambda i: i < 30)):
        folder = root / name / "x"
        made = replace(header(fgsm=info()), model_sha256=name)
        file = RecordFile(folder / "records", made, classes=10)
        file.append(rows(robust, 100))
        file.merge()
        (folder / "config.yaml").write_text("model: {class_path: robust.defenses.Standard}\n")
    if sheet is not None:
        sheet(sheet_path(root / "b/x/records", "d"))
    return root


def no_text(path):
    Image.new("L", (64, 8)).save(path)


def misfit(path):
    Sheet(np.zeros((9, 8, 8, 1), dtype=np.uint8)).write(path)
    with Image.open(path) as opened:
        text = opened.text
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("images", text["images"].replace("9", "90"))
    Image.new("L", (64, 16)).save(path, pnginfo=info)


@pytest.mark.parametrize(
    "sheet",
    [None, no_text, misfit, lambda path: path.write_bytes(b"no image"), lambda path: path.mkdir()],
    ids=["absent", "no text", "misfit", "damaged", "folder"],
)
def test_a_page_does_without_thumbnails(tmp_path, sheet):
    (protocol,) = protocols(Reader().read([write_runs(tmp_path, sheet)]))
    assert thumbnail(first_images(protocol)) is None


def test_any_run_of_a_protocol_has_the_thumbnails(tmp_path):
    x = np.random.RandomState(0).randint(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    write_runs(tmp_path, lambda path: Sheet(x).write(path))
    (protocol,) = protocols(Reader().read([tmp_path]))
    made = thumbnail(first_images(protocol))
    assert (made["columns"], made["width"], made["height"], made["count"]) == (COLUMNS, 8, 8, 10)
    assert made["url"].startswith("data:image/webp;base64,")


def noise(*shape):
    return np.random.RandomState(1).randint(0, 256, shape, dtype=np.uint8)


def record_of(root, name):
    (record,) = (root / name / "x/records").glob("*.csv")
    return record


def test_kept_adversarial_images_have_their_places(tmp_path):
    x_adv = noise(3, 1, 8, 8)
    write_runs(tmp_path, lambda path: Sheet(noise(64, 8, 8, 1)).write(path))
    # Of run a odd images are misclassified: 2 is not, and of 99 no clean image is there.
    keep(record_of(tmp_path, "a"), x_adv, [5, 2, 99])
    (protocol,) = protocols(Reader().read([tmp_path]))
    made = adversarials(protocol, first_images(protocol))
    assert list(made) == [protocol.entries[0].label]
    (found,) = made.values()
    assert found["places"] == {"deployed": {}, "adaptive": {5: [0, 2, 0]}}
    shown = Image.open(io.BytesIO(base64.b64decode(found["url"].partition(",")[2]))).convert("L")
    tile = np.asarray(shown)[:8, :8].astype(int)
    assert abs(tile - x_adv[0, 0]).mean() < 20  # lossy, and no other image is so near
    assert abs(tile - x_adv[1, 0]).mean() > 40


@pytest.mark.parametrize(
    "damaged",
    [
        lambda record: keep(record, noise(1, 1, 9, 9), [5]),
        lambda record: keep(record, noise(1, 1, 8, 8), [0.5]),
        lambda record: keep(record, noise(1, 1, 8, 8), [-5]),
        lambda record: keep(record, noise(600, 1, 8, 8), [5] * 600),
        lambda record: kept_path(record).write_bytes(b"no frame"),
        lambda record: kept_path(record).mkdir(),
    ],
    ids=["shape", "index", "negative", "more than a block", "no frame", "folder"],
)
def test_a_page_does_without_damaged_adversarial_images(tmp_path, damaged):
    write_runs(tmp_path, lambda path: Sheet(noise(64, 8, 8, 1)).write(path))
    damaged(record_of(tmp_path, "a"))
    (protocol,) = protocols(Reader().read([tmp_path]))
    assert adversarials(protocol, first_images(protocol)) == {}


def test_adversarial_images_that_do_not_fit_are_left_out(tmp_path, monkeypatch):
    write_runs(tmp_path, lambda path: Sheet(noise(64, 8, 8, 1)).write(path))
    odd = [i for i in range(1, 64, 2) if i % 11]
    keep(record_of(tmp_path, "a"), noise(len(odd), 1, 8, 8), odd)
    (protocol,) = protocols(Reader().read([tmp_path]))
    monkeypatch.setattr("robust.report.paired.adversarials._LARGEST", 3000)
    (found,) = adversarials(protocol, first_images(protocol)).values()
    assert len(found["url"]) <= 1500
    assert 0 < len(found["places"]["adaptive"]) < len(odd)
    assert list(found["places"]["adaptive"]) == odd[: len(found["places"]["adaptive"])]
    monkeypatch.setattr("robust.report.paired.adversarials._LARGEST", 10)
    assert adversarials(protocol, first_images(protocol)) == {}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    from robust.report import render

    root = tmp_path_factory.mktemp("pairs")
    x = np.random.RandomState(0).randint(0, 256, (64, 8, 8, 1), dtype=np.uint8)
    write_runs(root / "runs", lambda path: Sheet(x).write(path))
    keep(record_of(root / "runs", "b"), noise(1, 1, 8, 8), [30])
    path = root / "report.html"
    path.write_text(render([root / "runs"], root))
    return path


def test_the_browser_compares_as_python_does(opened):
    page = opened()
    one, other = (run.evaluations.popitem()[1] for run in runs_of(lambda i: i % 2 == 0,
                                                                  lambda i: i < 30))  # fmt: skip
    for what in ("adaptive", "clean"):
        images = clean_images if what == "clean" else lambda e: robust_images(e, "adaptive")
        pair = Paired.from_images(images(one), images(other))
        found = page.evaluate(
            "what => paired(page.pairs[Object.keys(page.pairs)[0]], 'a', 'b', what)", what
        )
        assert (found["one"], found["other"], found["n"]) == (
            pair.first.hits, pair.second.hits, pair.first.n,
        )  # fmt: skip
        assert found["onlyOne"] == list(pair.only_first)
        assert found["onlyOther"] == list(pair.only_second)
        assert found["interval"] == pytest.approx(pair.interval)
        assert found["p"] == pytest.approx(pair.p_value)


def test_images_that_one_loses_are_shown(opened):
    page = opened()
    box = page.locator(".compare")
    first, second = box.locator(".only section").all()
    # Even images from 30 on that are right without an attack, but not the multiples of 11.
    assert first.locator("h5").text_content() == "32 images that a keeps and b loses (adaptive)"
    told = [each.text_content() for each in first.locator("figcaption").all()[:2]]
    assert told[0] == "30: class 0fools b: 2 under fgsm"
    assert told[1] == "32: class 0b: 2 under fgsmadversarial image not stored"
    kept = first.locator("figure").first.locator(".thumbnail")
    assert kept.count() == 2
    assert kept.last.get_attribute("aria-label") == "Test image 30 as it fools b: 2 under fgsm"
    assert first.locator("figure").nth(1).locator(".thumbnail").count() == 1
    assert second.locator(".thumbnail").count() == 14
    box.get_by_label("Second run").select_option("a")
    assert first.locator("h5").text_content() == "a loses no image that a keeps (adaptive)"
