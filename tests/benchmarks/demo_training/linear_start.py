"""Start an AutoencoderKL at a linear code, so that training begins where PCA ends.

Each residual branch is silenced (its last convolution is zero), which leaves a linear path
through encoder and decoder. Down the encoder, each stride-2 convolution becomes the PCA of
2x2 neighbourhoods and the last projection whitens the code. Up the decoder, each convolution after
an upsampling is the least-squares prediction of what the encoder had at that resolution.

The output GroupNorm and SiLU are bent nearly linear. Each signal stands beside its negative,
which keeps the group's mean at zero; each group ends in two anchors, held at plus and minus a
constant far above the signal, which keep its deviation; a bias lifts the signals onto the
straight part of SiLU. Without this every picture would lose part of its own mean and contrast.
"""

# Every convolution met here has a bias, which a type checker cannot know.
# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional as F

AutoencoderKL: TypeAlias = Any
"""diffusers' class, whose own annotations do not hold under a strict type checker."""

ANCHOR = 32.0
SILU_BIAS = 6.0
LOG_VARIANCE = -8.0
RIDGE = 1e-4


@torch.no_grad()
def start_linear(model: AutoencoderKL, crops: torch.Tensor) -> None:
    """Set the model's weights to a linear code fitted on crops.

    Args:
        model: freshly made, without attention in the middle block; its first and last widths
            differ from their neighbours, so that a projection stands before each output norm.
        crops: float [N, 3, H, W] in [-1, 1]; a few hundred will do.
    """
    for name, parameter in model.named_parameters():
        if ".conv2." in name:
            parameter.zero_()
    stages = _fit_encoder(model, crops)
    _fit_decoder(model, model.encode(crops).latent_dist.mean, stages)


def _fit_encoder(model: AutoencoderKL, crops: torch.Tensor) -> list[torch.Tensor]:
    """Fit the encoder; return what it holds before each of its downsamplings."""
    encoder = model.encoder
    _pass_through(encoder.conv_in, 3)
    features, scales = encoder.conv_in(crops), torch.ones(3)
    stages = []
    for block in encoder.down_blocks[:-1]:
        shortcut = block.resnets[0].conv_shortcut
        if shortcut is not None:
            _pass_through(shortcut, len(scales))
        features = block.resnets[0](features, None)
        stages.append(features[:, : len(scales)])
        scales = _fit_downsample(block.downsamplers[0].conv, features, scales)
        features = block.downsamplers[0](features)
    latents = model.config.latent_channels
    rows, bias = _regress_code(features[:, : len(scales)], crops, latents)
    projection = encoder.down_blocks[-1].resnets[0].conv_shortcut
    slots = _pair_channels(projection, encoder.conv_norm_out, rows, bias)
    features = encoder.mid_block(encoder.down_blocks[-1](features))
    deviations = _straighten(encoder.conv_norm_out, features, slots)
    _read_pairs(encoder.conv_out, slots, deviations)
    encoder.conv_out.bias[latents:] = LOG_VARIANCE
    _pass_through(model.quant_conv, 2 * latents)
    _pass_through(model.post_quant_conv, latents)
    return stages


def _fit_downsample(conv: nn.Conv2d, features: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Make the first outputs of a stride-2 convolution the PCA of its 2x2 neighbourhoods.

    Each output is divided by the root of its deviation, so that fine detail is not drowned. Scales
    lead back to the pixels' units, in which the axes are chosen; return the outputs' scales.
    """
    signals = len(scales)
    pixels = features[:, :signals] * scales[:, None, None]
    patches = F.unfold(pixels, kernel_size=2, stride=2).transpose(0, 1).flatten(1)
    kept = min(4 * signals, conv.out_channels * 3 // 4)
    axes, deviations = _principal_axes(patches, kept)
    roots = deviations.sqrt()
    rows = axes.view(kept, signals, 2, 2) * scales[:, None, None] / roots[:, None, None, None]
    conv.weight[:kept] = 0.0
    conv.bias[:kept] = 0.0
    conv.weight[:kept, :signals, :2, :2] = rows
    return roots


def _regress_code(
    features: torch.Tensor, crops: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows [count, D] and bias [count] from features to the whitened PCA of blocks.

    Not the PCA of the features themselves: their scale is not that of the pixels.
    """
    block = crops.shape[-1] // features.shape[-1]
    pixels = F.unfold(crops, block, stride=block).transpose(0, 1).flatten(1)
    axes, deviations = _principal_axes(pixels, count)
    code = axes / deviations[:, None] @ (pixels - pixels.mean(1, keepdim=True))
    samples = features.transpose(0, 1).flatten(1)
    samples = torch.cat([samples, torch.ones_like(samples[:1])])
    solution = torch.linalg.solve(samples @ samples.T, samples @ code.T).T
    return solution[:, :-1], solution[:, -1]


def _fit_decoder(model: AutoencoderKL, latents: torch.Tensor, stages: list[torch.Tensor]) -> None:
    """Fit each upsampling convolution to the encoder's features at its resolution."""
    decoder = model.decoder
    _pass_through(decoder.conv_in, latents.shape[1])
    features, signals = decoder.mid_block(decoder.conv_in(latents)), 0
    for block, target in zip(decoder.up_blocks[:-1], reversed(stages), strict=True):
        if block.resnets[0].conv_shortcut is not None:
            _pass_through(block.resnets[0].conv_shortcut, signals)
        for resnet in block.resnets:
            features = resnet(features, None)
        _fit_upsample(block.upsamplers[0].conv, features, target)
        features, signals = block.upsamplers[0](features), target.shape[1]
    shortcut = decoder.up_blocks[-1].resnets[0].conv_shortcut
    colours = torch.eye(signals)
    slots = _pair_channels(shortcut, decoder.conv_norm_out, colours, torch.zeros(signals))
    deviations = _straighten(decoder.conv_norm_out, decoder.up_blocks[-1](features), slots)
    _read_pairs(decoder.conv_out, slots, deviations)


def _fit_upsample(conv: nn.Conv2d, features: torch.Tensor, target: torch.Tensor) -> None:
    """Make the first outputs the ridge regression of target on upsampled neighbourhoods."""
    rows = conv.in_channels * 9 + 1
    gram, moment = torch.zeros(rows, rows), torch.zeros(rows, target.shape[1])
    batches = zip(features.split(16), target.split(16), strict=True)
    for feature_batch, target_batch in batches:
        patches = F.unfold(F.interpolate(feature_batch, scale_factor=2.0), 3, padding=1)
        patches = patches.transpose(0, 1).flatten(1)
        patches = torch.cat([patches, torch.ones_like(patches[:1])])
        gram += patches @ patches.T
        moment += patches @ target_batch.transpose(0, 1).flatten(1).T
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    solution = torch.linalg.solve(gram.double(), moment.double()).float().T
    count = target.shape[1]
    conv.weight[:count] = solution[:, :-1].reshape(count, conv.in_channels, 3, 3)
    conv.bias[:count] = solution[:, -1]


def _principal_axes(samples: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the leading principal axes [count, D] and deviations of samples [D, N]."""
    variances, axes = torch.linalg.eigh(torch.cov(samples.double()))
    leading = variances.argsort(descending=True)[:count]
    deviations = variances[leading].clamp_min(1e-6).sqrt()
    return axes[:, leading].T.float(), deviations.float()


def _pass_through(conv: nn.Conv2d, channels: int) -> None:
    """Copy the first channels unchanged; the other outputs keep their random weights."""
    centre = conv.kernel_size[0] // 2
    conv.weight[:channels] = 0.0
    conv.bias[:channels] = 0.0
    conv.weight[range(channels), range(channels), centre, centre] = 1.0


def _pair_channels(
    conv: nn.Conv2d, norm: nn.GroupNorm, rows: torch.Tensor, bias: torch.Tensor
) -> list[int]:
    """Make a projection hold rows beside their negatives, and anchors at each group's end.

    Random channels become such pairs too, so each group's mean is zero whatever the picture.
    Return the channel of each row; its negative is the next one.
    """
    width = norm.num_channels // norm.num_groups
    groups = norm.num_groups
    slots = [index % groups * width + index // groups * 2 for index in range(len(rows))]
    conv.weight[slots] = 0.0
    conv.weight[slots, : rows.shape[1], 0, 0] = rows
    conv.bias[slots] = bias
    conv.weight[1::2] = -conv.weight[::2]
    conv.bias[1::2] = -conv.bias[::2]
    conv.weight[width - 2 :: width] = 0.0
    conv.weight[width - 1 :: width] = 0.0
    conv.bias[width - 2 :: width] = ANCHOR
    conv.bias[width - 1 :: width] = -ANCHOR
    return slots


def _straighten(norm: nn.GroupNorm, features: torch.Tensor, slots: list[int]) -> torch.Tensor:
    """Bring the pairs onto the straight part of SiLU; return the signals' former deviations."""
    deviations = norm(features).std(dim=(0, 2, 3))
    varying = features.std(dim=(0, 2, 3)) > 1e-3
    norm.weight[varying] = 1.0 / deviations[varying]
    norm.bias[slots] = SILU_BIAS
    norm.bias[[slot + 1 for slot in slots]] = SILU_BIAS
    return features[:, slots].std(dim=(0, 2, 3))


def _read_pairs(conv: nn.Conv2d, slots: list[int], deviations: torch.Tensor) -> None:
    """Make the first outputs half of each signal less its negative, in the signal's own units."""
    count = len(slots)
    conv.weight.zero_()
    conv.bias.zero_()
    conv.weight[range(count), slots, 1, 1] = 0.5 * deviations
    conv.weight[range(count), [slot + 1 for slot in slots], 1, 1] = -0.5 * deviations
