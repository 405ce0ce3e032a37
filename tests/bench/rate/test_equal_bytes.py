import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaebench.bench.rate.equal_bytes import TOLERANCE, match_bytes
from vaebench.bench.rate.knobs import KNOBS, Knob

WHOLE = Knob("q", (), 0, 100)
FREE = Knob("distance", (), 25.0, 0.1, whole=False)


@given(st.lists(st.integers(1, 400), min_size=101, max_size=101), st.integers(1, 60_000))
def test_bisection_over_rising_bytes_finds_the_nearest_value_or_an_equal_one(steps, wanted):
    nbytes = 50 + np.cumsum(steps)
    asked = []

    def at(value):
        asked.append(value)
        return int(nbytes[int(value)])

    match = match_bytes(at, WHOLE, wanted)
    off = np.abs(np.log(nbytes / wanted))
    assert abs(match.deviation) <= TOLERANCE or off[int(match.value)] == off.min()
    assert match.nbytes == nbytes[int(match.value)]
    assert match.deviation == pytest.approx(match.nbytes / wanted - 1)
    assert len(asked) == len(set(asked)) <= 2 + 7  # both ends, then log2(100) halvings
    assert (match.note == "") == (abs(match.deviation) <= TOLERANCE)


@given(st.floats(300, 90_000))
def test_a_free_knob_reaches_any_bytes_between_its_ends(wanted):
    match = match_bytes(lambda value: round(10_000 / value), FREE, round(wanted))
    if 400 < round(wanted) < 100_000:
        assert abs(match.deviation) <= TOLERANCE and match.note == ""
        assert 0.1 <= match.value <= 25


def test_bytes_below_the_smallest_and_above_the_largest_are_told():
    small = match_bytes(lambda value: 1000 + int(value), WHOLE, 500)
    assert (small.value, small.nbytes) == (0, 1000)
    assert small.note == "100.0 % more bytes at q=0, the smallest it makes"
    large = match_bytes(lambda value: 1000 + int(value), WHOLE, 2000)
    assert (large.value, large.nbytes) == (100, 1100)
    assert large.note == "45.0 % fewer bytes at q=100, the largest it makes"


def test_a_coarse_knob_tells_how_near_it_comes():
    match = match_bytes(lambda value: 100 * (1 + int(value) // 10), WHOLE, 444)
    assert match.nbytes == 400 and match.deviation == pytest.approx(-44 / 444)
    assert match.note == f"9.9 % fewer bytes at q={match.value:g}: the next value is farther off"


def test_bytes_that_do_not_quite_rise_still_give_the_nearest_of_all_that_were_tried():
    wobbly = {0: 100, 100: 1000, 50: 480, 75: 470, 87: 900, 81: 700, 78: 600, 76: 560, 77: 590}
    match = match_bytes(lambda value: wobbly[int(value)], WHOLE, 500)
    assert match.nbytes == 480 and match.value == 50


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_real_codecs_come_within_the_tolerance_on_a_photograph(kodak, name):
    from PIL import Image
    from vaebench.bench.codecs import open_codec
    from vaebench.bench.codecs.tensors import from_pil

    with Image.open(kodak / "kodim23.png") as image:
        pixels = from_pil([image.convert("RGB").crop((150, 60, 406, 316))])

    def at(value):
        return open_codec(name, name, {"q": int(value)}).encode(pixels).nbits[0] // 8

    match = match_bytes(at, KNOBS[name], 4000)
    if match.note:
        neighbours = [at(match.value + side) for side in (-1, 1)]
        assert all(abs(near - 4000) >= abs(match.nbytes - 4000) for near in neighbours)
    else:
        assert 3920 <= at(match.value) == match.nbytes <= 4080
