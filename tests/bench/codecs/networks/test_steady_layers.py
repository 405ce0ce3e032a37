from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from vaebench.bench.codecs import open_codec
from vaebench.bench.codecs.networks.steady_layers import (
    PointwiseConv2d,
    SteadyConv2d,
    SteadySiLU,
    steady,
)

STEADY = {PointwiseConv2d, SteadyConv2d, SteadySiLU}
THREADS = (1, 2, 3, 4, 8, 16, 64)


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


def made_steady(layer: nn.Module, values: Tensor, **tolerance: float) -> Tensor:
    """Return what a layer gives for any number of threads, close to what it gave before."""
    expected = layer.requires_grad_(False)(values)
    steady(layer)
    first, *others = of_each_count(layer, values)
    assert torch.get_num_threads() == THREADS[-1]
    assert all(torch.equal(first, other) for other in others)
    assert torch.allclose(first, expected, **{"rtol": 0, "atol": 0, **tolerance})
    return first


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("channels", "height", "width"), [((16, 32), 64, 96), ((64, 16), 33, 50), ((3, 4), 7, 5)]
)
def test_a_1x1_convolution_is_the_same_for_any_threads(
    channels: tuple[int, int], height: int, width: int, bias: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(*channels, 1, bias=bias)
    found = made_steady(layer, seeded(2, channels[0], height, width), atol=1e-5)
    assert found.is_contiguous()


@pytest.mark.parametrize("count", [0, 7, 60_000, 104_544, 131_072, 200_001])
def test_silu_is_the_same_for_any_threads(count: int) -> None:
    values = seeded(1, 1, 1, count) * 4
    layer = nn.SiLU()
    made_steady(layer, values, rtol=1e-6)
    turned = values.expand(2, 2, 2, count).transpose(1, 3)
    assert torch.equal(layer(turned), torch.nn.functional.silu(turned))


# Of these torch's own give other digits with some number of threads.
LAYERS = [
    (nn.Conv2d(96, 96, 3, padding=1), (5, 5)),
    (nn.Conv2d(96, 96, 3, padding=1), (14, 14)),
    (nn.Conv2d(64, 64, 3, padding=1), (13, 13)),
    (nn.Conv2d(4, 512, 3, padding=1), (13, 13)),
    (nn.Conv2d(3, 3, 3, padding=1), (49, 121)),
    (nn.Conv2d(8, 512, 3, stride=2), (5, 105)),
    (nn.Conv2d(320, 32, 2, stride=2, padding=3), (34, 88)),
    (nn.Conv2d(192, 4, 3, padding=1, groups=2), (86, 57)),
    (nn.Conv2d(512, 3, 1), (62, 77)),
    (nn.Conv2d(32, 16, 1), (65, 67)),
]


@pytest.mark.parametrize(("layer", "size"), LAYERS)
def test_a_convolution_is_the_same_for_any_threads(layer: nn.Conv2d, size: tuple[int, int]) -> None:
    made_steady(layer, seeded(1, layer.in_channels, *size), atol=1e-4)


@pytest.mark.parametrize(("rows", "width"), [(420, 24), (676, 512)])
def test_a_linear_layer_is_the_same_for_any_threads(rows: int, width: int) -> None:
    made_steady(nn.Linear(width, width), seeded(1, rows, width), atol=1e-4)


def test_root_mean_square_normalisation_is_the_same_for_any_threads() -> None:
    from diffusers.models.normalization import RMSNorm

    layer = RMSNorm(256, eps=1e-5, elementwise_affine=True, bias=True)
    # As channels of a picture lie.
    made_steady(layer, seeded(1, 256, 14, 14).movedim(1, -1), atol=1e-5)


def pointwise(width_in: int, width_out: int, positions: int) -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Conv2d(width_in, width_out, 1), (1, width_in, 1, positions)


def linear(width_in: int, width_out: int, rows: int) -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Linear(width_in, width_out), (1, rows, width_in)


def conv(width_in: int, width_out: int, *size: int) -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Conv2d(width_in, width_out, 3, padding=1), (1, width_in, *size)


AROUND = [256 * threads + more for threads in (1, 2, 3, 4) for more in (-1, 0, 1)]
WIDTHS = [15, 16, 17, 24, 25, 31, 32, 33]
# Numbers and not the constants: what stands here is what torch does.
EDGES = {
    "_SMALL_INPUT": [
        *(conv(3, 3, *size) for size in ((82, 83), (83, 83))),
        *(conv(5, 16, 64, width) for width in (64, 65)),
        *(conv(80, 64, 16, width) for width in (16, 17)),
    ],
    "_LEAST_POSITIONS": [
        *(conv(96, 64, 16, 16 * threads + more) for threads in (1, 2, 3) for more in (-1, 0, 1)),
        *(pointwise(16, 16, positions) for positions in AROUND),
        *(linear(96, 96, rows) for rows in AROUND),
    ],
    "_VECTOR": [
        *(pointwise(16, width, 4096) for width in WIDTHS),
        *(linear(64, width, 1024) for width in WIDTHS),
    ],
    "_GRAIN or _STEP": [
        (nn.SiLU(), (32768 * threads + more,))
        for threads in (1, 2, 4, 7)
        for more in (-33, -32, -1, 0, 1, 31, 32, 33, 100)
    ],
}


@pytest.mark.parametrize("constant", EDGES)
def test_at_the_edges_of_a_constant_layers_are_the_same_for_any_threads(constant: str) -> None:
    for layer, size in EDGES[constant]:
        steady(layer)
        first, *others = of_each_count(layer, 4 * seeded(*size))
        differ = [
            threads
            for threads, found in zip(THREADS[1:], others, strict=True)
            if not torch.equal(found, first)
        ]
        assert not differ, (
            f"{layer} of {list(size)} gives other digits in {differ} threads than in one, with "
            f"torch {torch.__version__}: look at {constant} in networks/steady_layers.py"
        )


def test_where_there_is_work_for_them_all_threads_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(4)

    def refuse(_: int) -> None:
        raise AssertionError

    monkeypatch.setattr(torch, "set_num_threads", refuse)
    layers = [nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 1), nn.Linear(64, 16)]
    for layer in layers:
        steady(layer)
        layer(torch.zeros(1, 16, 64, 64))


def test_other_layers_stay_as_they_are() -> None:
    layers = [nn.ConvTranspose2d(4, 4, 3), nn.SiLU(inplace=True), nn.ReLU(), nn.GroupNorm(2, 4)]
    network = nn.Sequential(*layers)
    before = list(map(type, layers))
    steady(network)
    assert list(map(type, network)) == before


@pytest.mark.parametrize("changes", [{"stride": 2}, {"padding": 1}, {"groups": 2}])
def test_a_1x1_convolution_that_is_no_matrix_product_stays_one(changes: dict[str, int]) -> None:
    layer = nn.Conv2d(4, 4, 1, **changes)
    values = seeded(2, 4, 9, 9)
    expected = layer(values)
    steady(layer)
    assert torch.allclose(layer(values), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [40, 72, 112])
def test_a_small_picture_is_the_same_for_any_threads(
    size: int, layout: torch.memory_format
) -> None:
    codec = open_codec("it", "demo-f8c4", {"device": "cpu"})
    picture = seeded(1, 3, size // 8, size // 8).sigmoid()
    picture = nn.functional.interpolate(picture, size=(size, size), mode="bilinear")
    picture = picture.contiguous(memory_format=layout)
    found: list[Tensor] = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        found.append(codec.decode(codec.encode(picture)))
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize(
    ("settings", "is_steady"),
    [({}, True), ({"channels_last": True}, False), ({"dtype": "bfloat16"}, False)],
)
def test_what_a_checkpoint_runs_with_on_a_cpu(settings: dict[str, object], is_steady: bool) -> None:
    codec = open_codec("it", "demo-f8c4", {"device": "cpu", **settings})
    kinds = {type(layer) for layer in codec.vae.modules()}  # pyright: ignore[reportAttributeAccessIssue]
    assert (kinds >= STEADY) is is_steady
    assert kinds.isdisjoint(STEADY) is not is_steady
    assert (nn.SiLU in kinds) is not is_steady
