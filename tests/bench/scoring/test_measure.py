"""A batch measured: each value that is missing has its own reason."""

from __future__ import annotations

import pytest
import torch
from vaebench.bench.scoring.measure import prepare_references, score_batch
from vaebench.metrics.adapted import AdaptedMetric
from vaebench.metrics.info import colour_info


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1,), (2,)])
def test_every_missing_value_of_a_batch_has_its_own_reason(order: tuple[int, ...]) -> None:
    """Picture 0 has a value, 1 is not a number, 2 is refused; whoever else is in the batch."""

    def score(reference: torch.Tensor, reconstruction: torch.Tensor) -> float:
        level = round(float(reference.mean()), 3)
        if level == 0.2:
            raise ValueError("too grey")
        return float("nan") if level == 0.1 else 0.75

    metric = AdaptedMetric(colour_info("other:odd", "", True, "rgb"), score, "cpu")
    pictures = torch.stack([torch.full((3, 4, 4), number / 10) for number in order])
    names = [str(number) for number in order]
    references = prepare_references([metric], names, [[] for _ in order], pictures)
    found = score_batch([metric], references, "codec", pictures, rounded=True)
    for number, picture in zip(order, found, strict=True):
        (row,) = picture.scores
        assert row.value == (0.75 if number == 0 else None)
        reasons = [entry.reason for entry in picture.unavailable]
        expected = {0: [], 1: ["not a number (NaN)"], 2: ["too grey"]}[number]
        assert len(reasons) == len(expected)
        assert all(part in reason for part, reason in zip(expected, reasons, strict=True))
        assert all(entry.image_id == str(number) for entry in picture.unavailable)
