"""`robust card` and `robust verify`: what is written, what is refused, and what does not stand."""

import json
import re
import shutil
from importlib.resources import files

import numpy as np
import pytest
import torch

from robust.commands.evidence import rescored
from robust.commands.main import main
from robust.report.card.rendered import as_html, markdown, tex
from robust.report.card.sealed import read_card, seal, text_of
from robust.results.kept.stored import read_frames

pytestmark = pytest.mark.usefixtures("quiet")
FORBIDDEN = re.compile(r"\b(pass(es|ed)?|compliant|compliance|certif(y|ies))\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A run whose records and kept images are complete; to be read only."""
    folder = tmp_path_factory.mktemp("card") / "runs/squeezed/a"
    shutil.copytree(trained["squeezed"], folder)
    return folder


@pytest.fixture(scope="module")
def written(run):
    """The folder of a card of that run, beside the runs."""
    folder = run.parents[2] / "card"
    words = ["--trained-by", "Ada", "--format", "robustbench", "--format", "huggingface"]
    assert main(["card", str(run), "-o", str(folder), *words]) == 0
    return folder


@pytest.fixture
def copied(run, written, tmp_path):
    """Copies of run and card that may be damaged."""
    shutil.copytree(run.parents[2], tmp_path / "all")
    return tmp_path / "all"


def verified(words, capsys):
    code = main(["verify", *map(str, words)])
    return code, capsys.readouterr().out


def test_a_card_fits_its_schema(written):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(files("robust.report.card").joinpath("card.schema.json").read_text())
    card = read_card(written / "card.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(card, schema)
    del card["runs"][0]["evaluations"][0]["results"]["clean"]["record"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(card, schema)


def test_a_card_says_what_it_has_to(written):
    card = read_card(written / "card.json")
    ((run,),) = (card["runs"],)
    assert (run["name"], run["subject"]["trained_by"]) == ("squeezed/a", "Ada")
    (each,) = run["evaluations"]
    assert {"clean", "robust", "adaptive.robust", "deployed.pgd.success"} <= set(each["results"])
    assert len(each["evidence"]["signs"]["Linf 0.3"]) == 9
    assert {file["path"].rpartition(".")[2] for file in run["files"]} == {
        *("yaml", "csv", "ckpt", "json", "kept")
    }
    assert "torch" in each["compute"]["hardware"]


def test_all_forms_have_the_numbers_and_none_judges(written):
    card = read_card(written / "card.json")
    clean = card["runs"][0]["evaluations"][0]["results"]["clean"]["value"]
    for name in ("card.md", "card.html", "card.tex"):
        text = (written / name).read_text()
        assert f"{100 * clean:.1f}" in text
        assert "adaptive.robust" in text.replace("\\", "")
        assert not FORBIDDEN.search(text), name
    assert not FORBIDDEN.search(text_of(card))
    assert str(written.parent) not in "".join(path.read_text() for path in written.iterdir())


def test_settings_and_arguments_are_tables(written):
    card = read_card(written / "card.json")
    for attack in card["runs"][0]["evaluations"][0]["attacks"]:
        attack["arguments"]["extra"] = "x" * 200
    for text in (markdown(card), as_html(card), tex(card)):
        assert "class_path" not in text.replace("\\", "")
        assert "model.network" in text.replace("\\", "")
        assert "x" * 200 in text


def test_names_are_no_markup(written):
    card = read_card(written / "card.json")
    card["runs"][0]["name"] = r"<b>a</b>|\input{x}_$"
    assert "<b>" not in as_html(card)
    assert "\n## <b>" not in markdown(card)
    assert r"\input{x}" not in tex(card)


def test_exports(written):
    (info,) = written.glob("robustbench-*.json")
    card = read_card(written / "card.json")
    (each,) = card["runs"][0]["evaluations"]
    found = json.loads(info.read_text())
    assert found["reported"] == f"{100 * each['results']['adaptive.robust']['value']:.2f}"
    assert (found["autoattack_acc"], found["eps"]) == (None, ["Linf 0.3"])
    (results,) = written.glob("eval_results-*.yaml")
    assert "task_id: adaptive.robust" in results.read_text()


def test_a_card_is_written_again_but_nothing_else_is_overwritten(copied, tmp_path, capsys):
    words = ["card", str(copied / "runs/squeezed/a"), "-o", str(copied / "card")]
    assert main(words) == 0
    (copied / "card/card.md").write_text("my notes")
    assert main(words) == 2
    assert "stays as it is" in capsys.readouterr().err
    assert (copied / "card/card.md").read_text() == "my notes"
    (copied / "card/card.md").unlink()
    (tmp_path / "target").write_text("mine")
    (copied / "card/card.md").symlink_to(tmp_path / "target")
    assert main(words) == 2
    assert (tmp_path / "target").read_text() == "mine"


def test_a_run_without_records_has_no_card(copied, capsys):
    shutil.rmtree(copied / "runs/squeezed/a/records")
    assert main(["card", str(copied / "runs/squeezed/a"), "-o", str(copied / "other")]) == 2
    assert "Expected records of squeezed/a" in capsys.readouterr().err


def test_all_of_it_stands(run, written, capsys):
    code, out = verified([written / "card.json"], capsys)
    assert (code, out.splitlines()[-1]) == (0, "All of it stands."), out
    assert "values derived from records again" in out
    scored, successes = map(int, re.search(r"(\d+) of (\d+) successes", out).groups())
    assert scored == successes > 0
    assert verified([run, "--numbers"], capsys)[0] == 0


@pytest.mark.parametrize("suffix", ["csv", "json", "kept"])
@pytest.mark.parametrize("where", [0.1, 0.5, 0.99])
def test_one_changed_byte_of_a_record_is_found(copied, suffix, where, capsys):
    (path,) = (copied / "runs/squeezed/a/records").glob(f"tiny-*.{suffix}")
    _flip(path, where)
    code, out = verified([copied / "runs/squeezed/a", "--numbers"], capsys)
    assert code == 3, out
    assert path.stem in out


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "checkpoints/last.ckpt"])
def test_one_changed_byte_of_a_file_is_found(copied, name, capsys):
    _flip(copied / "runs/squeezed/a" / name, 0.5)
    code, out = verified([copied / "card/card.json", "--numbers"], capsys)
    assert (code, f"squeezed/a/{name}: its hash" in out) == (3, True)


def test_one_changed_number_of_a_card_is_found(copied, capsys):
    path = copied / "card/card.json"
    card = read_card(path)
    card["runs"][0]["evaluations"][0]["results"]["clean"]["value"] = 0.123
    path.write_text(text_of({**card, "sha256": "0" * 64}))
    code, out = verified([path, "--numbers"], capsys)
    assert code == 3
    assert "its hash does not match its content" in out
    path.write_text(text_of({**card, "sha256": seal(card)}))  # a forger who knows the hash
    code, out = verified([path, "--numbers"], capsys)
    assert code == 3
    assert "results/clean/value: derived again, it is another value" in out


def test_a_success_that_does_not_stand_is_named(copied, capsys):
    records = copied / "runs/squeezed/a/records"
    (path,) = records.glob("*.kept")
    frames, _ = read_frames(path)
    frame = next(each for each in frames if "adaptive" in each.views)
    index = frame.index.copy()
    unlike = next(i for i in range(30) if i % 10 != index[0] % 10 and i not in index)
    index[0] = unlike
    others = [each for each in frames if each is not frame]
    path.write_bytes(b"".join(f.encoded() for f in [*others, frame._replace(index=index)]))
    code, out = verified([copied / "runs/squeezed/a"], capsys)
    assert code == 3
    assert f"the success of {frame.attack}" in out
    assert f"on image {unlike}" in out


def test_images_that_are_no_adversarial_ones_do_not_stand(copied, capsys):
    (path,) = (copied / "runs/squeezed/a/records").glob("*.kept")
    frames, _ = read_frames(path)
    frame = frames[0]
    n, shape = len(frame.index), next(iter(frame.images.values())).shape[1:]
    images = {
        "uint8": np.zeros((0, *shape), np.uint8),
        "float16": np.zeros((n, *shape), np.float16),
        "float32": np.zeros((0, *shape), np.float32),
    }
    fake = frame._replace(form=np.ones(n, np.int8), images=images)  # the clean images
    path.write_bytes(fake.encoded())
    code, out = verified([copied / "runs/squeezed/a"], capsys)
    assert code == 3
    assert out.count("is classified correctly in float64") == n
    assert out.count("is classified correctly, 7 at once") == n


@pytest.mark.parametrize("tied", [True, False])
def test_a_tie_of_float32_is_told_and_anything_else_does_not_stand(run, tied, monkeypatch, capsys):
    is_right = rescored._is_right

    def right_in_float64(model, x, y, scored):
        return np.ones(len(x), bool) if x.dtype == torch.float64 else is_right(model, x, y, scored)

    monkeypatch.setattr(rescored, "_is_right", right_in_float64)
    monkeypatch.setattr(rescored, "_is_tied", lambda *args: np.full(len(args[1]), tied))
    code, out = verified([run], capsys)
    assert code == (0 if tied else 3)
    assert ("are ties of the two best scores in float32" in out) is tied
    assert ("is classified correctly in float64" in out) is not tied


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nowhere"], "nowhere"),
        (["{suite}"], "it is none"),
        (["{folder}"], "Expected a run"),
    ],
)
def test_what_cannot_be_verified_is_one_line(words, why, suite, tmp_path, capsys):
    given = [word.format(suite=suite, folder=tmp_path) for word in words]
    assert main(["verify", *given]) == 2
    err = capsys.readouterr().err.strip()
    assert why in err
    assert "\n" not in err


def _flip(path, where):
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1
    path.write_bytes(content)
