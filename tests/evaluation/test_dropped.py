"""Images that an attack gives up are on record, and are read again from there."""

import pytest

from robust.attacks import Strong
from robust.results.metrics import robust_accuracy
from robust.threat import ThreatModel
from tests.support.factories import evaluate


@pytest.mark.parametrize(("patience", "dropped"), [(2.0, True), (None, False)])
def test_dropped_images_are_on_record(data, tmp_path, patience, dropped):
    arguments = {
        "attacks": {"strong": lambda m: Strong(m, 0.01, patience=patience, queries=2)},
        "threat_model": ThreatModel("Linf", 0.01),
        "views": ["adaptive"],
        "limit": 8,
    }
    result, _ = evaluate(data, tmp_path, **arguments)
    rows = result.select("adaptive", "strong")
    assert rows["attacked"].all()
    assert (rows["dropped"] == dropped).all()
    assert robust_accuracy(rows, result.header.attacks["strong"]).value == 1
    again, _ = evaluate(data, tmp_path, **arguments)
    # The seconds tell that nothing was attacked again.
    assert again.rows == result.rows
