"""Layers whose last digits depend on the number of a CPU's threads, in a form where they do not.

A last digit more or less moves a pixel across the rounding to 8 bits, and LPIPS tells the
difference in its fourth digit. Convolutions above 1x1, matrix products, attention and
normalisation are steady as torch has them, but for pictures of a few dozen pixels.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

# What torch's element-wise kernels do at least in one thread, and at once in one step.
_GRAIN = 32768
_STEP = 32


_is_stock: ContextVar[bool] = ContextVar("is_stock", default=False)


@contextmanager
def stock_layers() -> Generator[None]:
    """Leave networks placed meanwhile as torch has them: to be timed as others run them."""
    token = _is_stock.set(True)
    try:
        yield
    finally:
        _is_stock.reset(token)


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution as the matrix product that it is.

    oneDNN's own kernel splits its sums among the threads.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        matrices = weight.flatten(1).expand(len(input), -1, -1)
        columns = input.flatten(2)
        if bias is None:
            product = torch.bmm(matrices, columns)
        else:
            product = torch.baddbmm(bias[:, None], matrices, columns)
        return product.unflatten(2, input.shape[2:])


class SteadySiLU(nn.SiLU):
    """SiLU in pieces that end with a vector.

    What is left of a thread's share behind its last whole vector goes through another
    exponential function, so the shares must end where one thread's vectors do.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return x · sigmoid(x)."""
        count = input.numel()
        threads = min(torch.get_num_threads(), -(-count // _GRAIN))
        rest = count % (_STEP * threads)
        if threads == 1 or not rest or not input.is_contiguous():
            return super().forward(input)
        output = torch.empty_like(input)
        flat, found = input.view(-1), output.view(-1)
        for part in (slice(count - rest), slice(count - rest, None)):
            torch.ops.aten.silu.out(flat[part], out=found[part])
        return output


def steady(network: nn.Module) -> None:
    """Exchange in place what depends on the number of threads; names and weights stay.

    Within `stock_layers` nothing is exchanged.
    """
    if _is_stock.get():
        return
    for layer in network.modules():
        if type(layer) is nn.Conv2d and _is_pointwise(layer):
            layer.__class__ = PointwiseConv2d
        elif type(layer) is nn.SiLU and not layer.inplace:
            layer.__class__ = SteadySiLU


def _is_pointwise(layer: nn.Conv2d) -> bool:
    return (
        layer.kernel_size == (1, 1)
        and layer.stride == (1, 1)
        and layer.padding == (0, 0)
        and layer.groups == 1
    )
