from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from hypothesis import given, settings
from hypothesis import strategies as st
from vaebench.bench.codecs.autoencoder.kl_layout import kl_layout

DOWN = ("DownEncoderBlock2D", "AttnDownEncoderBlock2D")
UP = ("UpDecoderBlock2D", "AttnUpDecoderBlock2D")


def shapes_in_diffusers(config: dict[str, Any]) -> dict[str, torch.Size]:
    with torch.device("meta"):
        model = AutoencoderKL(**config)
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def shapes(config: dict[str, Any]) -> dict[str, torch.Size]:
    layout = kl_layout(config)
    assert layout is not None
    return {name: tensor.shape for name, tensor in layout.items()}


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    levels = draw(st.integers(1, 4))

    def each(values: Any) -> Any:
        return st.lists(st.sampled_from(values), min_size=levels, max_size=levels)

    optional = {
        "in_channels": st.sampled_from([1, 3, 4]),
        "out_channels": st.sampled_from([1, 3, 4]),
        "layers_per_block": st.integers(1, 3),
        "latent_channels": st.sampled_from([1, 4, 16]),
        "use_quant_conv": st.booleans(),
        "use_post_quant_conv": st.booleans(),
        "mid_block_add_attention": st.booleans(),
    }
    required = {
        "block_out_channels": each([8, 16, 24, 32]),
        "down_block_types": each(DOWN),
        "up_block_types": each(UP),
        "norm_num_groups": st.sampled_from([1, 4, 8]),
    }
    return draw(st.fixed_dictionaries(required, optional=optional))


@settings(max_examples=40, deadline=None)
@given(configs())
def test_it_is_the_layout_of_diffusers(config: dict[str, Any]) -> None:
    assert shapes(config) == shapes_in_diffusers(config)


def test_what_a_config_leaves_out_is_as_in_diffusers() -> None:
    assert shapes({}) == shapes_in_diffusers({})


def test_stable_diffusions_config_has_its_number_of_parameters() -> None:
    config = {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": [DOWN[0]] * 4,
        "up_block_types": [UP[0]] * 4,
        "layers_per_block": 2,
    }
    layout = kl_layout(config)
    assert layout is not None
    assert sum(tensor.numel() for tensor in layout.values()) == 83_653_863


@pytest.mark.parametrize(
    "config",
    [
        {"block_out_channels": [33]},
        {"block_out_channels": [32, 64]},
        {"block_out_channels": "hello"},
        {"block_out_channels": None},
        {"down_block_types": ["CrossAttnDownBlock2D"]},
        {"latent_channels": -4},
        {"latent_channels": "4"},
        {"layers_per_block": None},
        {"norm_num_groups": 0},
    ],
    ids=str,
)
def test_a_config_that_builds_no_model_is_left_to_diffusers(config: dict[str, Any]) -> None:
    assert kl_layout(config) is None
