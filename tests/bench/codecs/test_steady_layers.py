from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from vaebench.bench.codecs import open_codec
from vaebench.bench.codecs.steady_layers import PointwiseConv2d, SteadySiLU, steady

THREADS = (1, 2, 3, 4)


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def seeded(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def of_each_count(layer: nn.Module, values: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        found.append(layer(values))
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("channels", "height", "width"), [((16, 32), 64, 96), ((64, 16), 33, 50), ((3, 4), 7, 5)]
)
def test_a_1x1_convolution_is_the_same_for_any_threads(
    channels: tuple[int, int], height: int, width: int, bias: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(*channels, 1, bias=bias).requires_grad_(False)
    values = seeded(2, channels[0], height, width)
    expected = layer(values)
    steady(layer)
    first, *others = of_each_count(layer, values)
    assert all(torch.equal(first, other) for other in others)
    assert torch.allclose(first, expected, rtol=0, atol=1e-5)
    assert first.is_contiguous()


@pytest.mark.parametrize("count", [7, 60_000, 104_544, 131_072, 200_001])
def test_silu_is_the_same_for_any_threads(count: int) -> None:
    values = seeded(1, 1, 1, count) * 4
    layer = nn.SiLU()
    expected = layer(values)
    steady(layer)
    first, *others = of_each_count(layer, values)
    assert all(torch.equal(first, other) for other in others)
    assert torch.allclose(first, expected, rtol=1e-6, atol=0)
    turned = values.expand(2, 2, 2, count).transpose(1, 3)
    assert torch.equal(layer(turned), torch.nn.functional.silu(turned))


def test_other_layers_stay_as_they_are() -> None:
    layers = [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 1, stride=2),
        nn.Conv2d(4, 4, 1, padding=1),
        nn.Conv2d(4, 4, 1, groups=2),
        nn.SiLU(inplace=True),
        nn.ReLU(),
    ]
    network = nn.Sequential(*layers)
    before = list(map(type, layers))
    steady(network)
    assert list(map(type, network)) == before


@pytest.mark.parametrize(
    ("settings", "is_steady"),
    [({}, True), ({"channels_last": True}, False), ({"dtype": "bfloat16"}, False)],
)
def test_what_a_checkpoint_runs_with_on_a_cpu(settings: dict[str, object], is_steady: bool) -> None:
    codec = open_codec("it", "demo-f8c4", {"device": "cpu", **settings})
    kinds = {type(layer) for layer in codec.vae.modules()}  # pyright: ignore[reportAttributeAccessIssue]
    assert ({PointwiseConv2d, SteadySiLU} <= kinds) is is_steady
    assert (nn.SiLU in kinds) is not is_steady
