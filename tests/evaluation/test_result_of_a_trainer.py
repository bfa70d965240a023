"""What a test of Lightning's Trainer leaves is the result that `robust.evaluate` returns."""

import robust
from robust.results.result import Result
from tests.evaluation.test_other_modules import SUITE, Bars, Theirs, loader, trainer


def test_a_trainer_leaves_the_result_of_evaluate(tmp_path):
    module = Theirs(Bars())
    evaluation = robust.AttackEvaluation(SUITE, records=str(tmp_path))
    trainer(evaluation).test(module, loader(), verbose=False)
    result, expected = evaluation.result, robust.evaluate(module, loader(), SUITE, progress=False)
    assert isinstance(result, Result)
    assert result.robust_accuracy("adaptive") == expected.robust_accuracy("adaptive")
    assert result.verdict == expected.verdict
    assert str(result) == str(expected)
