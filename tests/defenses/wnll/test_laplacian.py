"""The graph Laplacian's solution: its properties, its gradient, and scipy's."""

import numpy as np
import pytest
import scipy.sparse
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import spsolve

from robust.defenses.wnll.laplacian import WeightedNonlocalLaplacian, _Solve, nearest
from robust.errors import ConfigError


def points(n=60, m=80, d=8, k=4, spread=1.0, dtype=torch.float32):
    """Queries, template and one-hot labels: clusters that overlap."""
    generator = torch.Generator().manual_seed(0)
    centers = spread * torch.randn(k, d, generator=generator)
    made = torch.randn(n + m, d, generator=generator) + centers[torch.arange(n + m) % k]
    labels = F.one_hot(torch.arange(m) % k, k)
    return made[m:].to(dtype), made[:m].to(dtype), labels.to(dtype)


def by_scipy(layer, queries, template, labels):
    """Eq. 3 solved with scipy's sparse LU on the same graph."""
    every = torch.cat([template, queries])
    neighbors = nearest(every, layer.neighbors)
    w = layer.weights(every, neighbors).double().numpy()
    n, m = len(every), len(template)
    rows = np.repeat(np.arange(n), neighbors.shape[1])
    one_way = scipy.sparse.csr_matrix((w.ravel(), (rows, neighbors.numpy().ravel())), shape=(n, n))
    both = (one_way + one_way.T).tocsr()
    fixed = both[m:, :m] + (n / m - 1) * one_way[:m, m:].T
    free = both[m:, m:]
    degree = np.asarray(fixed.sum(axis=1) + free.sum(axis=1)).ravel()
    return spsolve((scipy.sparse.diags(degree) - free).tocsc(), fixed @ labels.double().numpy())


@pytest.mark.parametrize("exponent", [2, 4])
@pytest.mark.parametrize(("n", "m"), [(60, 80), (200, 40), (1, 30)])
class TestSolution:
    def test_is_scipys(self, n, m, exponent):
        layer = WeightedNonlocalLaplacian(exponent=exponent)
        queries, template, labels = points(n, m)
        expected = by_scipy(layer, queries, template, labels)
        np.testing.assert_allclose(layer(queries, template, labels), expected, atol=1e-5)

    def test_is_a_distribution_over_classes(self, n, m, exponent):
        u = WeightedNonlocalLaplacian(exponent=exponent)(*points(n, m))
        torch.testing.assert_close(u.sum(dim=1), torch.ones(n), rtol=0, atol=1e-5)
        assert u.min() >= -1e-6
        assert u.max() <= 1 + 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [50, 300, 307])
def test_nearest_points_are_those_of_a_full_sort(n, dtype):
    every = torch.randn(n, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    order = torch.cdist(every.double(), every.double()).argsort(dim=1)
    for neighbors in (2, 15):
        assert torch.equal(nearest(every, neighbors), order[:, 1:neighbors])


def test_two_points_by_hand():
    # Points at 0 and 1 of two classes, a query at 0.25; each point's scale is its nearest other.
    layer = WeightedNonlocalLaplacian(neighbors=2, scale_neighbor=2, precision="float64")
    u = layer(torch.tensor([[0.25]]), torch.tensor([[0.0], [1.0]]), torch.eye(2))
    # Edges: query to 0, 0 to query, 1 to query, each of weight exp(-1). mu = 3 / 2 - 1.
    own, other = 1 + 1 + 0.5, 1 + 0.5
    expected = torch.tensor([[own, other]], dtype=torch.float64) / (own + other)
    torch.testing.assert_close(u, expected)


def test_a_query_among_one_class_is_of_it():
    _, template, labels = points(1, 80, spread=100.0)
    u = WeightedNonlocalLaplacian()(template[:1] + 0.01, template, labels)
    torch.testing.assert_close(u, labels[:1])


def test_where_a_template_point_lies_its_label_stands():
    """Interpolation: what has many edges of weight one to a label takes it."""
    queries, template, labels = points(40, 80, spread=3.0)
    layer = WeightedNonlocalLaplacian()
    u = layer(torch.cat([queries, template]), template, labels)
    assert torch.equal(u[40:].argmax(dim=1), labels.argmax(dim=1))


def test_permuting_queries_permutes_scores():
    layer, (queries, template, labels) = WeightedNonlocalLaplacian(), points()
    order = torch.randperm(len(queries), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        layer(queries[order], template, labels), layer(queries, template, labels)[order]
    )
    torch.testing.assert_close(
        layer(queries, template[:, :], labels[:, [1, 0, 3, 2]])[:, 1],
        layer(queries, template, labels)[:, 0],
    )


def test_scores_do_not_depend_on_the_unit_of_the_features():
    layer, (queries, template, labels) = WeightedNonlocalLaplacian(), points()
    expected = layer(queries, template, labels)
    torch.testing.assert_close(layer(64 * queries, 64 * template, labels), expected)


class TestIslands:
    """Queries so far from the template that no edge leads there."""

    def far(self):
        queries, template, labels = points(20, 80)
        island = 1e4 + torch.randn(30, 8, generator=torch.Generator().manual_seed(2))
        return torch.cat([queries, island]), template, labels

    @pytest.mark.parametrize("precision", ["float32", "float64"])
    def test_have_equal_scores_and_no_gradient(self, precision):
        queries, template, labels = self.far()
        queries.requires_grad_()
        u = WeightedNonlocalLaplacian(precision=precision)(queries, template, labels)
        assert torch.equal(u[20:], torch.full_like(u[20:], 0.25))
        u[:, 0].sum().backward()
        assert queries.grad.isfinite().all()
        assert queries.grad[:20].abs().sum() > 0
        assert not queries.grad[20:].any()

    def test_leave_the_others_alone(self):
        layer, (queries, template, labels) = WeightedNonlocalLaplacian(), self.far()
        expected = by_scipy_without_island(layer, queries, template, labels)
        np.testing.assert_allclose(layer(queries, template, labels)[:20], expected, atol=1e-5)

    def test_on_a_thread_float32_gives_way_to_float64(self):
        """Weights of 1e-8 between island and land, which float32 cannot tell from rounding."""
        m, n = 2, 12
        neighbors = torch.stack([torch.arange(m + n).roll(-s) for s in (1, 2)], dim=1)
        neighbors[:m] = torch.tensor([[1, 2], [0, 2]])
        neighbors[-2:] = torch.tensor([[m + n - 3, m + n - 1], [m + n - 3, m + n - 2]])
        weights = torch.ones(m + n, 2)
        weights[:m] = torch.tensor([[1.0, 1e-8], [1.0, 2e-8]])
        u = _Solve.apply(weights, neighbors, torch.eye(2))
        # All current flows over the two threads.
        expected = torch.tensor([[1 / 3, 2 / 3]]).expand(n, 2)
        torch.testing.assert_close(u, expected, rtol=1e-4, atol=0)

    def test_coinciding_points_have_finite_scores_and_gradients(self):
        queries = torch.zeros(30, 4, requires_grad=True)
        template = torch.cat([torch.zeros(20, 4), torch.ones(20, 4)])
        labels = F.one_hot(torch.arange(40) // 20, 2).float()
        layer = WeightedNonlocalLaplacian()
        for scores in (layer, layer.alone, layer.log_kernel):
            u = scores(queries, template, labels)
            (gradient,) = torch.autograd.grad(u[:, 0].sum(), queries)
            assert not u.isnan().any()
            assert gradient.isfinite().all()


def by_scipy_without_island(layer, queries, template, labels):
    """The system of the 20 queries that are no island, with the number of points of all."""
    every = torch.cat([template, queries])
    weights = layer.weights(every, neighbors := nearest(every, layer.neighbors)).double()
    w = torch.zeros(len(every), len(every), dtype=torch.float64).scatter_(1, neighbors, weights)
    m, n = len(template), len(template) + 20
    fixed = w[m:n, :m] + (len(every) / m) * w[:m, m:n].T
    free = w[m:n, m:n] + w[m:n, m:n].T
    matrix = torch.diag(fixed.sum(dim=1) + free.sum(dim=1)) - free
    return torch.linalg.solve(matrix, fixed @ labels.double())


@pytest.mark.parametrize("exponent", [2, 4])
class TestGradient:
    def test_is_exact_on_a_fixed_graph(self, exponent):
        layer = WeightedNonlocalLaplacian(5, 3, exponent, "float64")
        queries, template, labels = points(8, 12, 3, 3, dtype=torch.float64)
        every = torch.cat([template, queries])
        neighbors = nearest(every, 5)

        def scores(every):
            return _Solve.apply(layer.weights(every, neighbors), neighbors, labels)

        assert torch.autograd.gradcheck(scores, every.requires_grad_())
        torch.testing.assert_close(scores(every), layer(queries, template, labels))

    @pytest.mark.parametrize("scores", ["alone", "log_kernel"])
    def test_of_single_queries(self, exponent, scores):
        layer = WeightedNonlocalLaplacian(5, 3, exponent, "float64")
        queries, template, labels = points(6, 12, 3, 3, dtype=torch.float64)
        if scores == "log_kernel":
            # Its scale is a constant to the gradient.
            layer.scale_neighbor = 2
            queries = queries.requires_grad_()
            (gradient,) = torch.autograd.grad(
                layer.log_kernel(queries, template, labels)[:, 0].sum(), queries
            )
            assert (gradient.abs().sum(dim=1) > 0).all()
        else:
            check = torch.autograd.gradcheck
            assert check(lambda q: layer.alone(q, template, labels), queries.requires_grad_())


@pytest.mark.parametrize("scale_neighbor", [2, 8, 15])
@pytest.mark.parametrize("exponent", [2, 4])
def test_alone_is_each_query_by_itself(scale_neighbor, exponent):
    layer = WeightedNonlocalLaplacian(15, scale_neighbor, exponent, "float64")
    queries, template, labels = points(25, 40)
    expected = torch.cat([layer(query, template, labels) for query in queries.split(1)])
    torch.testing.assert_close(layer.alone(queries, template, labels), expected)


def test_the_kernel_is_alone_where_no_edge_is_cut():
    """With as many neighbours as points they agree, except for the scale near a query."""
    layer = WeightedNonlocalLaplacian(40, 8, precision="float64")
    queries, template, labels = points(25, 40)
    kernel = layer.log_kernel(queries, template, labels)
    torch.testing.assert_close(kernel.exp().sum(dim=1), torch.ones(25, dtype=torch.float64))
    torch.testing.assert_close(
        kernel.exp(), layer.alone(queries, template, labels), rtol=0, atol=0.02
    )


def test_where_the_scores_are_constant_the_kernel_has_a_gradient():
    _, template, labels = points(1, 80, spread=100.0)
    query = (template[:1] + 0.01).requires_grad_()
    layer = WeightedNonlocalLaplacian()
    alone = torch.autograd.grad(layer.alone(query, template, labels)[0, 0], query)[0]
    assert alone.abs().max() < 1e-6
    kernel = torch.autograd.grad(layer.log_kernel(query, template, labels)[0, 1], query)[0]
    assert kernel.abs().max() > 1e-2


def test_no_queries():
    layer, (queries, template, labels) = WeightedNonlocalLaplacian(), points()
    for scores in (layer, layer.alone, layer.log_kernel):
        assert scores(queries[:0], template, labels).shape == (0, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"neighbors": 1}, "`neighbors` to be at least 2, but got 1"),
        ({"scale_neighbor": 1}, r"`scale_neighbor` to be 2 to `neighbors` \(15\), but got 1"),
        ({"scale_neighbor": 16}, "`scale_neighbor` to be 2 to"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        WeightedNonlocalLaplacian(**arguments)


def test_more_neighbors_than_labelled_points():
    queries, template, labels = points(60, 14)
    for scores in (WeightedNonlocalLaplacian(), WeightedNonlocalLaplacian().alone):
        with pytest.raises(ConfigError, match="15 for 14"):
            scores(queries, template, labels)
