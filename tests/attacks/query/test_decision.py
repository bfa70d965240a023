"""The attacks that only run a model forward: oracles, what the noises try, and controls."""

from functools import partial
from itertools import product

import pytest
import torch
from torch import nn

from robust.attacks import craft, sample_seeds
from robust.attacks.query.boundary import BoundaryAttack
from robust.attacks.query.hop_skip_jump import HopSkipJump
from robust.attacks.query.noise import AdditiveGaussianNoise, AdditiveUniformNoise, SinglePixel
from robust.attacks.query.square import Square
from robust.errors import ConfigError
from robust.threat import ThreatModel, distance
from tests.support.cases import of_all
from tests.support.oracles import MARGIN, SHAPE, LinearOracle


class Head(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, scores):
        return self.function(scores)


Boundary = partial(BoundaryAttack, iterations=20, directions=10, starts=10, blend_levels=20)
HSJ = partial(HopSkipJump, iterations=4, initial_evaluations=20, starts=10)
MINIMAL = {
    "SinglePixel": SinglePixel,
    "Uniform": partial(AdditiveUniformNoise, levels=20),
    "Gaussian": partial(AdditiveGaussianNoise, levels=20),
    "Boundary": Boundary,
    "HSJ L2": HSJ,
    "HSJ Linf": partial(HSJ, norm="Linf"),
}
BUDGET = {
    "Square Linf": partial(Square, norm="Linf", eps=0.05, queries=60),
    "Square L2": partial(Square, norm="L2", eps=0.3, queries=60),
}
HEADS = {
    "log_softmax": nn.LogSoftmax(dim=1),
    "times_1000": Head(lambda z: 1000 * z),
    "negative": Head(lambda z: z - 1e4),
}
EVERY = pytest.mark.parametrize("attack", [*MINIMAL, *BUDGET])


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # to wake a second one takes longer than anything on images so small
    yield
    torch.set_num_threads(threads)


def built(name):
    return (MINIMAL | BUDGET)[name]


def run(attack, model, x, y, **arguments):
    arguments.setdefault("sample_seeds", sample_seeds(0, torch.arange(len(x))))
    return craft(attack, model, x, y, **arguments)


class EdgeOracle(LinearOracle):
    """All weight in the last row and column."""

    def __init__(self):
        super().__init__()
        signs = torch.zeros(SHAPE)
        signs[:, -1, ::2], signs[:, -1, 1::2], signs[:, :-1, -1] = 1, -1, -1
        self.w = nn.Parameter(signs.flatten())


class Linear(nn.Module):
    """Random weights on 5x5 images, and a head on the scores."""

    def __init__(self, channels=1, classes=3, head=None):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.w = nn.Parameter(torch.randn(channels * 25, classes, generator=generator))
        self.head = head or nn.Identity()

    def forward(self, x):
        return self.head((x.flatten(1) - 0.5) @ self.w.to(x.dtype))

    def samples(self, n):
        generator = torch.Generator().manual_seed(n)
        x = torch.rand(n, len(self.w) // 25, 5, 5, generator=generator)
        with torch.no_grad():
            return x, self(x).argmax(dim=1)


class Recorder(nn.Module):
    """Two classes by a rule on the image; keeps what it was shown."""

    def __init__(self, rule):
        super().__init__()
        self.rule, self.seen = rule, []

    def forward(self, x):
        self.seen.append(x.clone())
        one = self.rule(x).to(x.dtype)
        return torch.stack([1 - one, one], dim=1)


SHORT = {
    # Converged when their defaults have not begun to be used up.
    "HSJ L2": (partial(HopSkipJump, iterations=8), "L2"),
    "HSJ Linf": (partial(HopSkipJump, norm="Linf", iterations=8), "Linf"),
    "Boundary": (partial(BoundaryAttack, iterations=250), "L2"),
}
ORACLES = {"two classes": LinearOracle, "five": partial(LinearOracle, 5), "edge": EdgeOracle}


class TestOracle:
    @pytest.mark.parametrize(
        ("attack", "n", "targeted"),
        of_all(
            product(SHORT, [1, 8, 64], [False, True]),
            default=[
                ("HSJ L2", 1, True),
                ("HSJ L2", 8, False),
                ("HSJ Linf", 8, True),
                ("Boundary", 1, False),
            ],
        ),
    )
    def test_minimal_norm_attacks_come_close_to_the_smallest_distance(self, attack, n, targeted):
        attack, norm = SHORT[attack]
        oracle = LinearOracle()
        x, y = oracle.samples(n)
        x_adv = run(attack, oracle, x, y, target=1 - y if targeted else None).x_adv
        ThreatModel(norm, 0.0).check(x, x_adv, "it", budget=False)
        assert torch.equal(oracle(x_adv).argmax(dim=1), 1 - y)
        ratio = distance(x, x_adv, norm) / oracle.budget(norm)
        assert ratio.min() >= 1
        assert ratio.max() < 1.25
        assert ratio.median() < 1.05

    @pytest.mark.slow
    @pytest.mark.parametrize("targeted", [False, True])
    @pytest.mark.parametrize(
        ("attack", "norm"),
        [(HopSkipJump, "L2"), (partial(HopSkipJump, norm="Linf"), "Linf"), (BoundaryAttack, "L2")],
        ids=["HSJ L2", "HSJ Linf", "Boundary"],
    )
    def test_so_they_do_with_their_defaults(self, attack, norm, targeted):
        oracle = LinearOracle()
        x, y = oracle.samples(8)
        x_adv = run(attack, oracle, x, y, target=1 - y if targeted else None).x_adv
        assert torch.equal(oracle(x_adv).argmax(dim=1), 1 - y)
        ratio = distance(x, x_adv, norm) / oracle.budget(norm)
        assert ratio.min() >= 1
        assert ratio.max() < 1.05

    @pytest.mark.parametrize(
        ("oracle", "n", "targeted"),
        of_all(
            product(ORACLES, [1, 8, 64], [False, True]),
            default=[("edge", 1, False), ("five", 1, True)],
        ),
    )
    @pytest.mark.parametrize("norm", ["Linf", "L2"])
    def test_square_succeeds_above_the_exact_budget_and_not_below(self, oracle, norm, n, targeted):
        oracle = ORACLES[oracle]()
        x, y = oracle.samples(n)
        target = 1 - y if targeted else None
        for factor, expected in ((0.9, y), (1.1, 1 - y)):
            eps = factor * oracle.budget(norm)
            attack = partial(Square, norm=norm, eps=eps, queries=800 if factor > 1 else 100)
            x_adv = run(attack, oracle, x, y, target=target).x_adv
            ThreatModel(norm, eps).check(x, x_adv, "Square")
            assert torch.equal(oracle(x_adv).argmax(dim=1), expected)

    @pytest.mark.parametrize("attack", [*MINIMAL])
    def test_a_found_image_is_no_closer_than_the_boundary(self, attack):
        oracle = LinearOracle()
        x, y = oracle.samples(16)
        x_adv = run(built(attack), oracle, x, y).x_adv
        found = oracle(x_adv).argmax(dim=1) != y
        assert torch.equal(x_adv[~found], x[~found])
        assert (distance(x, x_adv, "L2")[found] >= oracle.budget("L2") * (1 - 1e-5)).all()


class TestSinglePixel:
    x = torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    y = torch.zeros(3, dtype=torch.int64)

    def test_each_pixel_in_turn_goes_to_0_then_to_1_in_all_channels(self):
        model = Recorder(lambda x: torch.zeros(len(x)))
        assert torch.equal(run(SinglePixel, model, self.x, self.y).x_adv, self.x)
        tries = torch.stack(model.seen[1:], dim=1)
        assert tries.shape[:2] == (3, 2 * 20)
        changed = (tries != self.x.unsqueeze(1)).all(dim=2).flatten(2)
        assert (changed.sum(dim=2) == 1).all()
        assert torch.equal(changed, (tries != self.x.unsqueeze(1)).any(dim=2).flatten(2))
        values = tries.movedim(2, -1).flatten(2, 3)[changed].view(3, 40, 2)
        assert (values[:, ::2] == 0).all()
        assert (values[:, 1::2] == 1).all()
        order = changed.long().argmax(dim=2)
        assert torch.equal(order[:, ::2], order[:, 1::2])
        assert torch.equal(order[:, ::2].sort(dim=1).values, torch.arange(20).expand(3, -1))
        assert not torch.equal(order[0], order[1])

    def test_the_first_success_is_the_result(self):
        model = Recorder(lambda x: x[:, :, 2, 3].sum(dim=1) == 2)
        x_adv = run(SinglePixel, model, self.x, self.y).x_adv
        expected = self.x.clone()
        expected[:, :, 2, 3] = 1
        assert torch.equal(x_adv, expected)
        # It ended there: no image was tried again.
        assert sum((part[:, :, 2, 3].sum(dim=1) == 2).sum() for part in model.seen) == 3

    def test_a_pixel_that_has_the_value_already_costs_no_query(self):
        model = Recorder(lambda x: torch.zeros(len(x)))
        x = torch.zeros(2, 1, 4, 5)
        x[1, 0, 0, 0] = 0.5
        run(SinglePixel, model, x, self.y[:2])
        assert sum(len(part) for part in model.seen[1:]) == 20 + (20 + 1)

    def test_the_number_of_pixels_is_bounded(self):
        model = Recorder(lambda x: torch.zeros(len(x)))
        run(partial(SinglePixel, max_pixels=3), model, self.x, self.y)
        assert len(model.seen) == 1 + 2 * 3


@pytest.mark.parametrize("attack", [AdditiveUniformNoise, AdditiveGaussianNoise])
class TestAdditiveNoise:
    x = torch.full((2, 1, 40, 40), 0.5)
    y = torch.zeros(2, dtype=torch.int64)

    def test_noise_grows_with_the_square_of_the_level_and_is_new_each_time(self, attack):
        model = Recorder(lambda x: torch.zeros(len(x)))
        assert torch.equal(run(partial(attack, levels=10), model, self.x, self.y).x_adv, self.x)
        tries = torch.stack(model.seen[1:]) - self.x
        assert len(tries) == 10
        for k, noise in enumerate(tries[:5], start=1):
            # Clipping begins beyond: 0.25 is half the way, three deviations are 0.43.
            expected = (k / 10) ** 2 / 3**0.5
            assert noise.std() == pytest.approx(expected, rel=0.06)
            assert abs(noise.mean()) < 0.1 * expected
            if attack is AdditiveUniformNoise:
                assert noise.abs().max() <= (k / 10) ** 2
            else:
                assert noise.abs().max() > (k / 10) ** 2
        assert tries.abs().max() == 0.5
        correlation = torch.corrcoef(tries.flatten(2).transpose(0, 1).flatten(0, 1))
        assert (correlation - torch.eye(20)).abs().max() < 0.15

    def test_the_first_level_that_succeeds_is_the_result(self, attack):
        def far(x):
            return (x - 0.5).abs().flatten(1).amax(dim=1) > 0.2

        model = Recorder(far)
        x_adv = run(partial(attack, levels=50), model, self.x, self.y).x_adv
        first = [next(part[0] for part in model.seen if far(part)[0])]
        assert torch.equal(x_adv[:1], torch.stack(first))
        assert far(x_adv).all()
        # The level below it would have failed: half-width (22/50)^2 < 0.2 < (23/50)^2.
        if attack is AdditiveUniformNoise:
            assert len(model.seen) == 1 + 23


class TestControls:
    @pytest.mark.parametrize("attack", [*MINIMAL])
    def test_nothing_but_the_class_matters(self, attack):
        x, y = Linear().samples(4)
        x = x.double()  # in which rounding decides nothing
        plain = run(built(attack), Linear(), x, y).x_adv
        for name, head in HEADS.items():
            assert torch.equal(run(built(attack), Linear(head=head), x, y).x_adv, plain), name

    @EVERY
    def test_a_network_that_anything_fools(self, attack):
        x = torch.zeros(2, 1, 5, 5)
        model = Recorder(lambda x: x.flatten(1).ne(0).any(dim=1))
        y = torch.zeros(2, dtype=torch.int64)
        x_adv = run(built(attack), model, x, y).x_adv
        ThreatModel("L2", 0.0).check(x, x_adv, attack, budget=False)
        assert (x_adv.flatten(1).amax(dim=1) > 0).all()

    @EVERY
    def test_no_gradients_are_taken(self, attack):
        modes = []
        model = Linear(head=Head(lambda z: modes.append(torch.is_grad_enabled()) or z))
        x, y = Linear().samples(2)
        run(built(attack), model, x, y)
        assert not any(modes)

    @pytest.mark.sampled(every=2)
    @pytest.mark.parametrize("attack", [*BUDGET])
    def test_a_failure_has_the_lowest_margin_found(self, attack):
        oracle = LinearOracle()
        x, y = oracle.samples(4)
        model = LinearOracle(scale=0.01)
        norm = attack.split()[1]
        eps = 0.5 * oracle.budget(norm)
        x_adv = run(partial(Square, norm=norm, eps=eps, queries=300), model, x, y).x_adv
        scores = oracle(x_adv)
        margin = (scores[:, 1] - scores[:, 0]) * (2 * y - 1)
        assert (margin < 0.65 * MARGIN).all()
        assert (margin > 0).all()


class TestInvariance:
    def test_the_distance_of_the_boundary_attack_never_grows(self):
        oracle = LinearOracle()
        x, y = oracle.samples(16)
        lengths = torch.stack(
            [
                distance(x, run(partial(Boundary, iterations=k), oracle, x, y).x_adv, "L2")
                for k in (1, 2, 3, 5, 10, 20, 60)
            ]
        )
        # The result is further by up to 1e-4 than the last point of the walk.
        assert (lengths[1:] <= lengths[:-1] * (1 + 1e-4)).all()
        assert (lengths[-1] < 0.8 * lengths[0]).all()

    def test_steps_are_an_images_own(self):
        # Two oracles in one: images of one half are much further from their boundary.
        oracle = LinearOracle()
        x, y = oracle.samples(2)
        x[1] = (x[1] + 6 * (x[1] - 0.5)).clamp(0, 1)
        alone = run(Boundary, oracle, x[:1], y[:1]).x_adv
        together = run(Boundary, oracle, x, y).x_adv
        torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=0)


class TestQueries:
    def queries(self, attack, n=3):
        oracle = LinearOracle()
        x, y = oracle.samples(n)
        return run(attack, oracle, x, y).forwards

    def test_square(self):
        eps = 0.5 * LinearOracle().budget("Linf")
        assert self.queries(partial(Square, eps=eps, queries=37)) == 37
        assert self.queries(partial(Square, eps=1.0, queries=500)) < 100

    @pytest.mark.parametrize("queries", [300, 1000])
    def test_hop_skip_jump(self, queries):
        spent = self.queries(partial(HopSkipJump, queries=queries), n=1)
        assert spent <= queries
        assert spent > 0.5 * queries

    def test_hop_skip_jump_ends_after_its_iterations(self):
        spent = self.queries(partial(HopSkipJump, iterations=2, initial_evaluations=50), n=1)
        assert 50 + 70 < spent < 50 + 70 + 60

    def test_boundary(self):
        spent = self.queries(Boundary, n=1)
        assert spent <= 1 + 2 * 10 + 20 + 1.2 * 60 * 10 + 1
        one = self.queries(partial(Boundary, iterations=10, directions=1), n=1)
        assert one <= 1 + 2 * 10 + 20 + 1.2 * 10 + 1

    def test_a_forward_pass_is_no_larger_than_the_batch_or_128(self):
        sizes = []
        model = Linear(head=Head(lambda z: sizes.append(len(z)) or z))
        x, y = Linear().samples(100)
        run(partial(HSJ, iterations=1, initial_evaluations=200), model, x, y)
        assert max(sizes) <= 128


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (partial(SinglePixel, max_pixels=0), "`max_pixels` to be at least 1, but got 0"),
        (partial(AdditiveUniformNoise, levels=0), "`levels` to be at least 1, but got 0"),
        (partial(AdditiveGaussianNoise, levels=-1), "`levels` to be at least 1, but got -1"),
        (partial(BoundaryAttack, iterations=0), "`iterations` to be at least 1"),
        (partial(BoundaryAttack, directions=0), "`directions` to be at least 1"),
        (partial(BoundaryAttack, starts=0), "`starts` to be at least 1"),
        (partial(BoundaryAttack, blend_levels=0), "`blend_levels` to be at least 1"),
        (partial(BoundaryAttack, spherical_step=0.0), "`spherical_step` to be between 0 and 1"),
        (partial(BoundaryAttack, source_step=1.0), "`source_step` to be between 0 and 1"),
        (partial(BoundaryAttack, step_adaptation=1.0), "`step_adaptation` to be above 1"),
        (partial(BoundaryAttack, converged=-1.0), "`converged` to be at least 0"),
        (partial(HopSkipJump, iterations=0), "`iterations` to be at least 1"),
        (partial(HopSkipJump, initial_evaluations=0), "`initial_evaluations` to be at least 1"),
        (partial(HopSkipJump, max_evaluations=9), "`max_evaluations` to be at least 100"),
        (partial(HopSkipJump, gamma=0.0), "`gamma` to be positive"),
        (partial(HopSkipJump, queries=100), "`queries` to be at least 260"),
        (partial(HopSkipJump, starts=0), "`starts` to be at least 1"),
        (partial(Square, queries=1), "`queries` to be at least 2"),
        (partial(Square, p_init=0.0), r"`p_init` to be in \(0, 1\], but got 0.0"),
        (partial(Square, p_init=1.5), r"`p_init` to be in \(0, 1\]"),
        (partial(Square, eps=-0.1), "`eps` to be non-negative, but got -0.1"),
    ],
)
def test_bad_arguments(attack, message):
    with pytest.raises(ConfigError, match=message):
        attack(LinearOracle())


@pytest.mark.parametrize("attack", [*MINIMAL])
def test_minimal_norm_attacks_name_no_budget(attack):
    assert not hasattr(built(attack)(LinearOracle()), "eps")
