"""The Square attack searches at random with squares, from scores alone.

Andriushchenko et al. 2020, https://arxiv.org/abs/1912.00049.
"""

import math
from dataclasses import dataclass, fields
from typing import Literal, final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust.attacks.base import RandomStreams, check_choice
from robust.attacks.query.base import QueryAttack
from robust.errors import ConfigError, check_at_least
from robust.threat import ThreatModel
from robust.types import Images, Labels

# Section 3.2: the share of pixels in a square halves after these ten-thousandths of the queries.
_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# A bump with two peaks needs as much (Section 3.4).
_LEAST_SIDE_L2 = 3
# Queries whose random numbers are made at once.
_AHEAD = 64


@final
class Square(QueryAttack):
    """Square changes one random square after the other, and keeps what lowers the margin.

    Algorithm 1 of the paper. The margin is the label's score less the largest other (targeted: the
    largest other less the target's), so it needs no logits. An image leaves at its first success.
    One that stays robust ends with the lowest margin found, or unchanged if nothing lowered it.

    Where the schedule asks for L2 windows smaller than a bump, every other proposal just adds a
    little one: the paper's moves alone end at three quarters of what a linear model allows.

    Every image has squares of its own. They may touch the last row and column, which the authors'
    code and torchattacks' leave out.

    Args:
        model: View to attack.
        norm: Linf (squares of +-eps on vertical stripes, Algorithm 2) or L2 (bumps that take over
            the length of another window, Algorithm 3).
        eps: Radius in pixel units.
        queries: Most forward passes for an image, that of the clean one included.
        p_init: Share of an image's pixels in the first squares, in (0, 1].

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        norm: Literal["Linf", "L2"] = "Linf",
        eps: float = 8 / 255,
        queries: int = 5000,
        p_init: float = 0.8,
    ) -> None:
        super().__init__(model)
        check_choice("norm", norm, ("Linf", "L2"))
        check_at_least("queries", queries, 2)
        if not 0 < p_init <= 1:
            raise ConfigError(f"Expected `p_init` to be in (0, 1], but got {p_init}.")
        self.threat_model = ThreatModel(norm, eps)
        self.norm, self.eps, self.queries, self.p_init = norm, eps, queries, p_init

    def search(self, x: Images, goals: Labels, streams: RandomStreams) -> Images:
        """Return the images of the lowest margin found."""
        clean_margin, _ = self._ask(x, goals)
        result = x.clone()
        index = torch.arange(len(x), device=x.device)
        margin = torch.full_like(clean_margin, torch.inf)
        low, high = ((x + change).clamp(0, 1) for change in (-self.eps, self.eps))
        ahead = x.new_empty(len(x), 0, 2 + x.shape[1], dtype=torch.float32)
        hunt = _Hunt(index, x, low, high, x, goals, streams, ahead, margin)
        # The clean image has been asked about twice: for its class and for its margin.
        for query in range(self.queries - 2):
            proposals = self._propose(hunt, query)
            margin, success = self._ask(proposals, hunt.goals)
            accepted = success | (margin < hunt.margin)
            hunt.current = torch.where(accepted.view(-1, 1, 1, 1), proposals, hunt.current)
            hunt.margin = torch.where(accepted, margin, hunt.margin)
            if success.any():
                result[hunt.index[success]] = hunt.current[success]
                hunt = _chosen(hunt, ~success)
                if not len(hunt.index):
                    break
        lowered = hunt.margin < clean_margin[hunt.index]
        result[hunt.index[lowered]] = hunt.current[lowered]
        return result

    def _ask(self, x: Images, goals: Labels) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
        """Return the margin of each image, and whether the attack succeeds."""
        scores = self.get_logits(x)
        goal = goals.view(-1, 1)
        other = scores.scatter(1, goal, -torch.inf).amax(dim=1)
        margin = scores.gather(1, goal).squeeze(1) - other
        success = (scores.argmax(dim=1) == goals) == self.targeted
        if self.judge is not None and success.any():
            success[success.clone()] = self.succeeds(x[success], goals[success])
        return (-margin if self.targeted else margin), success

    def _propose(self, hunt: "_Hunt", query: int) -> Images:
        side = self._side(query, hunt.x)
        if self.norm == "L2":
            delta = self._delta_l2(hunt, query, side)
            delta = delta * (self.eps / _norms(delta, (1, 2, 3)))
            return self.threat_model.project(hunt.x, hunt.x + delta)
        channels, _, width = hunt.x.shape[1:]
        if query == 0:
            return torch.where(hunt.streams.uniform(channels, 1, width) < 0.5, hunt.low, hunt.high)
        if not hunt.ahead.shape[1]:
            hunt.ahead = hunt.streams.uniform(_AHEAD, 2 + channels)
        numbers, hunt.ahead = hunt.ahead[:, 0], hunt.ahead[:, 1:]
        inside = _inside(hunt, side, *_corner(hunt, side, numbers[:, :2]))
        dark = (numbers[:, 2:] < 0.5).view(-1, channels, 1, 1)
        proposals = _recolored(hunt, inside, dark)
        # A square of the present color would waste a query.
        same = (proposals == hunt.current).flatten(1).all(dim=1)
        if not same.any():
            return proposals
        dark = dark ^ same.view(-1, 1, 1, 1)
        return _recolored(hunt, inside, dark)

    def _side(self, query: int, x: Images) -> int:
        """Return the side of the window of a query, in pixels."""
        height, width = x.shape[2:]
        progress = 10_000 * query / self.queries
        halvings = sum(progress > after for after in _HALVED_AFTER)
        side = math.sqrt(self.p_init / 2**halvings * height * width)
        return min(max(round(side), 1), height, width)

    def _delta_l2(self, hunt: "_Hunt", query: int, side: int) -> Images:
        if query == 0:
            return self._start_l2(hunt)
        if side < _LEAST_SIDE_L2 and query % 2:
            return self._add_l2(hunt, side)
        return self._move_l2(hunt, min(max(side, _LEAST_SIDE_L2), *hunt.x.shape[2:]))

    def _start_l2(self, hunt: "_Hunt") -> Images:
        """Return a grid of bumps, five to the shorter side."""
        channels, height, width = hunt.x.shape[1:]
        side = max(1, min(height, width) // 5)
        rows, columns = -(-height // side), -(-width // side)
        bump = _bump(side, hunt.x)
        grid = torch.where(
            _tiles(hunt.streams.uniform(1, rows, columns), side) < 0.5,
            bump.repeat(rows, columns),
            bump.T.repeat(rows, columns),
        )
        signs = _tiles(hunt.streams.sign(channels, rows, columns), side).to(hunt.x.dtype)
        return (signs * grid)[..., :height, :width]

    def _move_l2(self, hunt: "_Hunt", side: int) -> Images:
        """Add a bump in one window, as long as both windows were and what eps leaves."""
        delta = hunt.current - hunt.x
        channels = delta.shape[1]
        bump, to = self._signed_bump(hunt, side)
        source = _window(hunt, side)[0]
        old = delta * to
        new = bump + old / _norms(old, (2, 3))
        left = (self.eps**2 - delta.square().sum(dim=(1, 2, 3), keepdim=True)).clamp_min(0)
        taken = (delta * (to | source)).square().sum(dim=(2, 3), keepdim=True)
        new = new * ((left / channels + taken).sqrt() / _norms(new, (2, 3)))
        return torch.where(to, new, torch.where(source, 0, delta))

    def _add_l2(self, hunt: "_Hunt", side: int) -> Images:
        """Add a small bump, at most twice as long as the mean of as many pixels."""
        share = side / math.sqrt(hunt.x[0].numel())
        length = 2 * self.eps * share * hunt.streams.uniform(1, 1, 1).to(hunt.x.dtype)
        return hunt.current - hunt.x + length * self._signed_bump(hunt, side)[0]

    def _signed_bump(self, hunt: "_Hunt", side: int) -> tuple[Images, Bool[Tensor, "n 1 h w"]]:
        """Return a bump of random window, orientation and signs, and where that is."""
        channels, height, width = hunt.x.shape[1:]
        inside, row, column = _window(hunt, side)
        bump = _bump(side, hunt.x)
        bumps = torch.where(hunt.streams.uniform(1, 1) < 0.5, bump, bump.T)
        rows = (torch.arange(height, device=row.device) - row.view(-1, 1)).clamp(0, side - 1)
        columns = (torch.arange(width, device=row.device) - column.view(-1, 1)).clamp(0, side - 1)
        images = torch.arange(len(bumps), device=row.device).view(-1, 1, 1)
        placed = bumps[images, rows.unsqueeze(2), columns.unsqueeze(1)].unsqueeze(1) * inside
        return placed * hunt.streams.sign(channels, 1, 1).to(hunt.x.dtype), inside


@dataclass
class _Hunt:
    """These are the images that are still robust, and all that belongs to each."""

    index: Int64[Tensor, " n"]
    x: Images
    low: Images
    high: Images
    """The values of a square of -eps and of one of eps, in Linf."""
    current: Images
    goals: Labels
    streams: RandomStreams
    ahead: Float[Tensor, "n queries numbers"]
    """The numbers of each image's next squares, in Linf; many at once cost little more."""
    margin: Float[Tensor, " n"]


def _chosen(hunt: _Hunt, chosen: Bool[Tensor, " n"]) -> _Hunt:
    return _Hunt(*(getattr(hunt, field.name)[chosen] for field in fields(hunt)))


def _recolored(
    hunt: _Hunt, inside: Bool[Tensor, "n 1 h w"], dark: Bool[Tensor, "n c 1 1"]
) -> Images:
    return torch.where(inside, torch.where(dark, hunt.low, hunt.high), hunt.current)


def _window(
    hunt: _Hunt, side: int
) -> tuple[Bool[Tensor, "n 1 h w"], Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """Return each image's random window, as a mask and as its first row and column."""
    row, column = _corner(hunt, side, hunt.streams.uniform(2))
    return _inside(hunt, side, row, column), row, column


def _corner(
    hunt: _Hunt, side: int, numbers: Float[Tensor, "n 2"]
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """Return first row and column of a random window of each image, of two uniform numbers."""
    height, width = hunt.x.shape[2:]
    row, column = numbers.unbind(dim=1)
    return (row * (height - side + 1)).long(), (column * (width - side + 1)).long()


def _inside(
    hunt: _Hunt, side: int, row: Int64[Tensor, " n"], column: Int64[Tensor, " n"]
) -> Bool[Tensor, "n 1 h w"]:
    height, width = hunt.x.shape[2:]
    rows = torch.arange(height, device=row.device).view(1, 1, -1, 1) - row.view(-1, 1, 1, 1)
    columns = torch.arange(width, device=row.device).view(1, 1, 1, -1) - column.view(-1, 1, 1, 1)
    return (rows.clamp(0, side - 1) == rows) & (columns.clamp(0, side - 1) == columns)


def _bump(side: int, like: Tensor) -> Float[Tensor, "side side"]:
    """Return two peaks, one up and one down, of length one together (Eq. 2 and Fig. 3)."""
    if side == 1:
        return like.new_ones(1, 1)
    upper, lower = _peak(side // 2, side, like), _peak(side - side // 2, side, like)
    bump = torch.cat([upper, -lower])
    return bump / bump.square().sum().sqrt()


def _peak(height: int, width: int, like: Tensor) -> Float[Tensor, "height width"]:
    """Return values in rings around the middle: ring m has the sum of 1/(k+1)^2 over k >= m."""
    rings = max(height, width) // 2 + 1
    weights = torch.arange(1, rings + 1, device=like.device, dtype=like.dtype).pow(-2)
    values = weights.flip(0).cumsum(0).flip(0)
    rows = (torch.arange(height, device=like.device) - height // 2).abs()
    columns = (torch.arange(width, device=like.device) - width // 2).abs()
    return values[torch.maximum(rows.view(-1, 1), columns.view(1, -1))]


def _tiles(values: Float[Tensor, "n c rows columns"], side: int) -> Float[Tensor, "n c h w"]:
    return values.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)


def _norms(x: Images, dims: tuple[int, ...]) -> Float[Tensor, "n _ 1 1"]:
    return x.square().sum(dim=dims, keepdim=True).sqrt().clamp_min(torch.finfo(x.dtype).tiny)
