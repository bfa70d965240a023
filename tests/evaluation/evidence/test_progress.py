"""The stage of evidence says which part of it has begun, and that it goes on."""

from robust.evaluation.progress import stages
from robust.tracking.progress import Steps
from tests.evaluation.evidence.test_stage import data, wide  # noqa: F401
from tests.support.factories import evaluate


def test_an_evaluation_names_its_parts(data, tmp_path, monkeypatch):  # noqa: F811
    seen, beats = [], []

    class Seen(Steps):
        def begin(self, name):
            super().begin(name)
            seen.append(self.status().line.partition(", ")[0])

        def beat(self, count):
            super().beat(count)
            beats.append(len(seen))

    monkeypatch.setattr(stages, "Steps", Seen)
    evaluate(data, tmp_path, wide(), evidence="quick")
    assert seen == [
        "test: evidence: attack unit test: 0 of 5 parts",
        "test: evidence: gradients: 1 of 5 parts",
        "test: evidence: simpler attacks: 2 of 5 parts",
        "test: evidence: other eps: 3 of 5 parts",
        "test: evidence: what the suite left: 4 of 5 parts",
    ]
    assert {1, 2, 3} <= set(beats)  # nothing is left for the others
