"""LPIPS v0.1, after Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import MetricUnavailable, Result
from .info import DescribedMetric, MetricContext, MetricInfo
from .pictures import check_pair, check_pictures, check_side, groups
from .trunk_weights import trunk_weights
from .trunks import Trunk

# The statistics of ImageNet, moved from [0, 1] to [-1, 1].
SHIFT: Final = (-0.030, -0.088, -0.188)
SCALE: Final = (0.458, 0.448, 0.450)
EPSILON: Final = 1e-10


def lpips_info(trunk: Trunk) -> MetricInfo:
    """Return the info of LPIPS over one trunk."""
    stem = f"lpips/{trunk.name}-0.1"
    return MetricInfo("lpips", "", False, rounded=stem, unrounded=f"{stem}-float")


class LPIPS(DescribedMetric):
    """Learned perceptual distance over one trunk; the map is its spatial variant.

    The value sums, over the trunk's layers, the mean over positions of Σ_c w_c (ŷ_c - ŷ0_c)²,
    where ŷ are features normalised over channels (eq. 1). The map upsamples each layer's plane
    bilinearly to the picture before the sum, so its mean is close to the value, not equal.
    `weights_path` is the file of the trunk's weights.
    """

    def __init__(self, trunk: Trunk, context: MetricContext) -> None:
        super().__init__(lpips_info(trunk))
        self._trunk = trunk
        self._device = torch.device(context.device)
        linear = _linear_layers(trunk)
        self.weights_path, weights = trunk_weights(trunk, context.weights)
        self._weights = {key: self._placed(value) for key, value in weights.items()}
        self._linear = [layer.flatten().to(self._device) for layer in linear]
        # [0, 1] to [-1, 1], then by SHIFT and SCALE, in one step.
        shift, scale = (torch.tensor(x, dtype=torch.float64)[:, None, None] for x in (SHIFT, SCALE))
        self._gain = (2 / scale).to(self._device, torch.float32)
        self._offset = ((-1 - shift) / scale).to(self._device, torch.float32)

    def _placed(self, tensor: Tensor) -> Tensor:
        # Channels-last convolutions take about half the time on a CPU.
        tensor = tensor.to(self._device)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor

    @torch.no_grad()
    def prepare(self, reference: Tensor) -> tuple[torch.Size, list[list[Tensor]]]:
        """Return the shape and, for each group of pictures, -ŷ0 at every layer.

        Raises: MetricUnavailable where the pictures are too small for the trunk's last layer.
        """
        check_pictures(reference)
        check_side(f"LPIPS ({self._trunk.name})", reference, self._trunk.smallest_px)
        return reference.shape, [
            [_normalised(layer).neg_() for layer in self._features(reference[one])]
            for one in groups(reference)
        ]

    @torch.no_grad()
    def compare(
        self,
        prepared: tuple[torch.Size, list[list[Tensor]]],
        reconstruction: Tensor,
        want_maps: bool,
    ) -> Result:
        """Return LPIPS of each picture, and the spatial maps.

        Raises: ShapeMismatch.
        """
        shape, references = prepared
        check_pair(shape, reconstruction)
        side = shape[-2:]
        values = torch.zeros(shape[0], dtype=torch.float64, device=self._device)
        maps = torch.zeros(shape[0], *side, device=self._device) if want_maps else None
        for one, reference in zip(groups(reconstruction), references, strict=True):
            for plane in self._distances(reference, self._features(reconstruction[one])):
                values[one] += plane.mean(dim=(1, 2), dtype=torch.float64)
                if maps is not None:
                    maps[one] += _upsampled(plane, side)
        device = reconstruction.device
        return Result(values.to(device), None if maps is None else maps.to(device))

    def _features(self, pictures: Tensor) -> list[Tensor]:
        """Return the features of [N, 3, H, W] at every layer, [N, h, w, C]."""
        pixels = pictures.to(self._device, torch.float32)
        pixels = pixels.mul(self._gain).add_(self._offset)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        # TF32, cuDNN's default, keeps 10 bits of mantissa: LPIPS would differ between devices.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            layers = self._trunk.features(self._weights, pixels)
        return [layer.permute(0, 2, 3, 1) for layer in layers]

    def _distances(self, reference: list[Tensor], reconstruction: list[Tensor]) -> list[Tensor]:
        """Return each layer's Σ_c w_c (ŷ_c - ŷ0_c)², [N, h, w]; the reconstruction is used up."""
        return [
            _normalised(y).add_(x).square_() @ weight
            for x, y, weight in zip(reference, reconstruction, self._linear, strict=True)
        ]


def _normalised(features: Tensor) -> Tensor:
    """Divide [N, h, w, C] by its length over channels, in place."""
    norm = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    return features.mul_(norm.add_(EPSILON).reciprocal_())


def _upsampled(plane: Tensor, side: torch.Size) -> Tensor:
    return F.interpolate(plane[:, None], size=side, mode="bilinear", align_corners=False)[:, 0]


def _linear_layers(trunk: Trunk) -> list[Tensor]:
    """Return the calibrated weights [1, C, 1, 1] of each layer, from the lpips package.

    The package itself is not imported: it would import torchvision.
    """
    spec = importlib.util.find_spec("lpips")
    if spec is None or not spec.submodule_search_locations:
        raise MetricUnavailable(
            f"LPIPS ({trunk.name}) reads its linear layers from the lpips package, which is not "
            "installed. Run pip install lpips."
        )
    path = Path(spec.submodule_search_locations[0]) / "weights" / "v0.1" / f"{trunk.name}.pth"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        layers = [state[f"lin{i}.model.1.weight"].float() for i in range(len(trunk.widths))]
    except Exception as error:  # zipfile and pickle each raise their own
        raise MetricUnavailable(
            f"LPIPS ({trunk.name}) cannot read its linear layers at {path}: {error}. "
            "Reinstall the lpips package."
        ) from error
    shapes = [tuple(layer.shape) for layer in layers]
    expected = [(1, width, 1, 1) for width in trunk.widths]
    if shapes != expected:
        raise MetricUnavailable(
            f"LPIPS ({trunk.name}) found linear layers of shapes {shapes} at {path}, expected "
            f"{expected}. Reinstall the lpips package."
        )
    return layers
