"""Layers whose last digits depend on the number of a CPU's threads, in a form where they do not.

A last digit more or less moves a pixel across the rounding to 8 bits, and LPIPS tells the
difference in its fourth digit. Attention and group normalisation are steady as torch has them;
convolutions and matrix products are where every thread has enough to do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

# torch's and oneDNN's own numbers, which another version may change. test_steady_layers compares
# layers at the edges that they make, and names the one to look at.

# What torch's element-wise kernels do at least in one thread, and at once in one step.
_GRAIN = 32768
_STEP = 32

# Positions of the output for each thread: with fewer, kernels split sums, or end a thread's share
# within a vector.
_LEAST_POSITIONS = 256
# Up to this many values torch runs a convolution as a matrix product, with im2col.
_SMALL_INPUT = 20480
# A matrix product's outputs come in vectors; those left over are summed otherwise by some threads.
_VECTOR = 16

_is_stock: ContextVar[bool] = ContextVar("is_stock", default=False)


@contextmanager
def stock_layers() -> Generator[None]:
    """Leave networks placed meanwhile as torch has them: to be timed as others run them."""
    token = _is_stock.set(True)
    try:
        yield
    finally:
        _is_stock.reset(token)


@contextmanager
def _threads(positions: int, is_steady: bool) -> Generator[None]:
    """Run a layer in as many threads as its output has work for, in one where it is not steady."""
    given = torch.get_num_threads()
    most = max(1, positions // _LEAST_POSITIONS) if is_steady else 1
    if most >= given:
        yield
        return
    torch.set_num_threads(most)
    try:
        yield
    finally:
        torch.set_num_threads(given)


class SteadyConv2d(nn.Conv2d):
    """A convolution in no more threads than it has work for."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of [N, C, H, W]."""
        positions = input[0, 0].numel() // (self.stride[0] * self.stride[1])
        is_steady = (
            input.numel() > _SMALL_INPUT
            and min(self.kernel_size) > 2
            and (self.groups == 1 or self.groups == self.in_channels == self.out_channels)
        )
        with _threads(positions, is_steady):
            return super().forward(input)


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution as the matrix product that it is.

    oneDNN's own kernel splits its sums among the threads.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of [N, C, H, W]."""
        matrices = self.weight.flatten(1).expand(len(input), -1, -1)
        columns = input.flatten(2)
        with _threads(columns.shape[2], self.out_channels % _VECTOR == 0):
            if self.bias is None:
                product = torch.bmm(matrices, columns)
            else:
                product = torch.baddbmm(self.bias[:, None], matrices, columns)
        return product.unflatten(2, input.shape[2:])


class SteadyLinear(nn.Linear):
    """A linear layer in no more threads than it has work for."""

    def forward(self, input: Tensor) -> Tensor:
        """Return x · weightᵀ + bias of [..., C]."""
        rows = input.numel() // self.in_features
        with _threads(rows, self.out_features % _VECTOR == 0):
            return super().forward(input)


class SteadySiLU(nn.SiLU):
    """SiLU in pieces that end with a vector.

    What is left of a thread's share behind its last whole vector goes through another
    exponential function, so the shares must end where one thread's vectors do.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return x · sigmoid(x)."""
        count = input.numel()
        threads = max(1, min(torch.get_num_threads(), -(-count // _GRAIN)))
        # Without the rest there may be work for one thread fewer.
        even = max(count - count % (_STEP * threads), _GRAIN * (threads - 1))
        if threads == 1 or even == count or not input.is_contiguous():
            return super().forward(input)
        output = torch.empty_like(input)
        flat, found = input.view(-1), output.view(-1)
        for part in (slice(even), slice(even, None)):
            torch.ops.aten.silu.out(flat[part], out=found[part])
        return output


def steady(network: nn.Module) -> None:
    """Exchange in place what depends on the number of threads; names and weights stay.

    Within `stock_layers` nothing is exchanged.
    """
    if _is_stock.get():
        return
    for layer in network.modules():
        if type(layer) is nn.Conv2d:
            layer.__class__ = PointwiseConv2d if _is_pointwise(layer) else SteadyConv2d
        elif type(layer) is nn.Linear:
            layer.__class__ = SteadyLinear
        elif type(layer) is nn.SiLU and not layer.inplace:
            layer.__class__ = SteadySiLU
        elif "RMS" in type(layer).__name__:
            # Many classes have their own, of single steps that split their sums.
            layer.forward = _in_one_thread(layer.forward)


def _in_one_thread(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(forward)
    def run(*args: Any, **kwargs: Any) -> Tensor:
        with _threads(0, is_steady=False):
            return forward(*args, **kwargs)

    return run


def _is_pointwise(layer: nn.Conv2d) -> bool:
    return (
        layer.kernel_size == (1, 1)
        and layer.stride == (1, 1)
        and layer.padding == (0, 0)
        and layer.groups == 1
    )
