"""Where the weights of LPIPS's networks are found, in which order, and what is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import http.server
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from vaebench.metrics import MetricUnavailable, open_metric, trunk_weights
from vaebench.metrics.trunks import ALEX, SQUEEZE, VGG


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch) -> Path:
    """An empty hub cache, no weights folder in the environment, and no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(trunk_weights, "unreachable", lambda url: "no network here")
    monkeypatch.delenv(trunk_weights.ENVIRONMENT, raising=False)
    return tmp_path / "hub" / "checkpoints"


def tensors(fill: float = 0.0) -> dict[str, torch.Tensor]:
    return {key: torch.full(shape, fill) for key, shape in SQUEEZE.shapes().items()}


def put(path: Path, state: dict[str, torch.Tensor]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    return path


def find(folder: Path | None = None):
    return trunk_weights.trunk_weights(SQUEEZE, folder)


def test_order_is_folder_then_hub_cache(tmp_path, hub, monkeypatch):
    folder = tmp_path / "weights"
    in_hub = put(hub / SQUEEZE.checkpoint, tensors() | {"classifier.1.weight": torch.ones(2)})
    assert find(folder)[0] == in_hub
    bare = put(folder / SQUEEZE.file, tensors())
    assert find(folder)[0] == bare
    nested = put(folder / "lpips" / SQUEEZE.file, tensors())
    assert find(folder)[0] == nested
    assert find(None)[0] == in_hub
    monkeypatch.setenv(trunk_weights.ENVIRONMENT, str(folder))
    assert find(None)[0] == nested
    assert find(tmp_path / "elsewhere")[0] == in_hub


def test_reads_the_features_of_a_whole_network_as_float32(hub):
    whole = {key: value.half() for key, value in tensors(0.5).items()}
    put(hub / SQUEEZE.checkpoint, whole | {"classifier.1.weight": torch.ones(2)})
    found = find()[1]
    assert found.keys() == SQUEEZE.shapes().keys()
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert all(bool((value == 0.5).all()) for value in found.values())


@pytest.mark.parametrize("trunk", [ALEX, SQUEEZE, VGG], ids=lambda trunk: trunk.name)
def test_nowhere_to_be_had_names_the_three_mends(trunk, tmp_path, hub):
    with pytest.raises(MetricUnavailable) as caught:
        open_metric(f"lpips-{trunk.name}", tmp_path / "weights")
    message = str(caught.value)
    for part in (
        "no network here",
        f"--weights DIR with DIR/lpips/{trunk.file}",
        "VAEBENCH_WEIGHTS=DIR",
        str(hub / trunk.checkpoint),
    ):
        assert part in message
    assert not hub.exists()


def test_the_sentence_says_where_was_looked(tmp_path, hub, monkeypatch):
    url = f"https://download.pytorch.org/models/{SQUEEZE.checkpoint}"
    monkeypatch.setattr(trunk_weights, "unreachable", {url: "no network here"}.__getitem__)
    end = (
        "in torch's hub cache, and the download failed (no network here). Pass --weights DIR with "
        "DIR/lpips/squeezenet1_1_features.safetensors, set VAEBENCH_WEIGHTS=DIR, or put "
        f"{url} at {hub / SQUEEZE.checkpoint}."
    )
    begin = "LPIPS (squeeze) has no trained network: squeezenet1_1_features.safetensors is"
    with pytest.raises(MetricUnavailable) as caught:
        find(None)
    assert str(caught.value) == f"{begin} not {end}"
    with pytest.raises(MetricUnavailable) as caught:
        find(tmp_path)
    assert str(caught.value) == f"{begin} neither in {tmp_path} nor {end}"
    monkeypatch.setenv("VAEBENCH_WEIGHTS", "elsewhere")
    with pytest.raises(MetricUnavailable) as caught:
        find(None)
    assert str(caught.value) == f"{begin} neither in elsewhere nor {end}"
    monkeypatch.setenv("VAEBENCH_WEIGHTS", "")
    with pytest.raises(MetricUnavailable, match="is not in torch's hub cache"):
        find(None)


def test_many_wrong_tensors_are_counted(tmp_path):
    state = {key: value for key, value in tensors().items() if not key.endswith(".bias")}
    path = put(tmp_path / SQUEEZE.file, state)
    with pytest.raises(MetricUnavailable) as caught:
        find(tmp_path)
    # 26 convolutions but the classifier's: 1 + 3·8 = 25 biases, of which three are told.
    assert str(caught.value) == (
        f"{path} is not LPIPS's squeeze network: features.0.bias is absent, expected [64]; "
        "features.10.expand1x1.bias is absent, expected [192]; features.10.expand3x3.bias is "
        "absent, expected [192] and 22 more. Replace it by torchvision's "
        "squeezenet1_1-b8a52dc0.pth."
    )


@pytest.mark.parametrize(("count", "more"), [(1, ""), (3, ""), (4, " and 1 more")])
def test_three_wrong_tensors_are_told_in_full(count, more, tmp_path):
    state = tensors()
    for index in range(count):
        state[f"features.9{index}.weight"] = torch.zeros(1)
    put(tmp_path / SQUEEZE.file, state)
    with pytest.raises(MetricUnavailable) as caught:
        find(tmp_path)
    told = [f"features.9{index}.weight is [1], expected absent" for index in range(min(3, count))]
    assert f"network: {'; '.join(told)}{more}. Replace it" in str(caught.value)


def test_other_tensors_and_entries_of_a_file_are_left(hub):
    put(hub / SQUEEZE.checkpoint, tensors() | {"classifier.1.weight": torch.ones(2), "epoch": 3})
    assert find()[1].keys() == SQUEEZE.shapes().keys()


def missing_one(state):
    del state["features.3.squeeze.bias"]
    return "features.3.squeeze.bias is absent, expected [16]"


def misshaped(state):
    state["features.0.weight"] = torch.zeros(64, 3, 7, 7)
    return "features.0.weight is [64, 3, 7, 7], expected [64, 3, 3, 3]"


def another_network(state):
    state["features.13.weight"] = torch.zeros(1)
    return "features.13.weight is [1], expected absent"


@pytest.mark.parametrize("spoil", [missing_one, misshaped, another_network])
def test_wrong_tensors_are_refused_not_passed_over(spoil, tmp_path, hub):
    put(hub / SQUEEZE.checkpoint, tensors())
    state = tensors()
    expected = spoil(state)
    path = put(tmp_path / "lpips" / SQUEEZE.file, state)
    with pytest.raises(MetricUnavailable) as caught:
        find(tmp_path)
    assert expected in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not tensors at all"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_damaged_file_is_named(content, suffix, tmp_path, hub):
    path = tmp_path / SQUEEZE.file if suffix == ".safetensors" else hub / SQUEEZE.checkpoint
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(MetricUnavailable) as caught:
        find(tmp_path)
    assert str(caught.value).startswith(f"{path} cannot be read as weights (")
    assert str(caught.value).endswith("). Remove or replace it.")


def test_a_pickle_that_holds_no_tensors_is_refused(hub):
    hub.mkdir(parents=True)
    torch.save([1, 2, 3], hub / SQUEEZE.checkpoint)
    with pytest.raises(MetricUnavailable) as caught:
        find()
    assert str(caught.value) == (
        f"{hub / SQUEEZE.checkpoint} holds no tensors by name. Remove or replace it."
    )


class Opened:
    """Would create a file where a pickle that holds it were trusted."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_that_would_run_code_is_refused_and_inert(hub, tmp_path):
    hub.mkdir(parents=True)
    torch.save(tensors() | {"x": Opened(tmp_path / "opened")}, hub / SQUEEZE.checkpoint)
    with pytest.raises(MetricUnavailable, match="cannot be read as weights"):
        find()
    assert not (tmp_path / "opened").exists()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *arguments):
        pass


@pytest.fixture
def publisher(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder served over HTTP on this machine, in the place of download.pytorch.org."""
    folder = tmp_path / "published"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.undo()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(trunk_weights, "PUBLISHER", f"http://127.0.0.1:{server.server_address[1]}")
    yield folder
    server.shutdown()
    server.server_close()


def published_checkpoint() -> bytes:
    stream = io.BytesIO()
    torch.save(tensors(), stream)
    return stream.getvalue()


def test_downloads_into_the_hub_cache(publisher, hub, tmp_path):
    content = published_checkpoint()
    name = f"squeezenet1_1-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (publisher / name).write_bytes(content)
    trunk = dataclasses.replace(SQUEEZE, checkpoint=name)
    path, found = trunk_weights.trunk_weights(trunk, tmp_path / "none")
    assert path == hub / name and path.read_bytes() == content
    assert found.keys() == SQUEEZE.shapes().keys()


def test_downloads_into_a_hub_cache_that_is_there(publisher, hub):
    content = published_checkpoint()
    name = f"squeezenet1_1-x-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (publisher / name).write_bytes(content)
    hub.mkdir(parents=True)
    path, _ = trunk_weights.trunk_weights(dataclasses.replace(SQUEEZE, checkpoint=name), None)
    assert path == hub / name


def test_a_download_with_another_hash_is_refused_and_not_kept(publisher, hub):
    (publisher / SQUEEZE.checkpoint).write_bytes(published_checkpoint())
    with pytest.raises(MetricUnavailable, match="hash"):
        find()
    assert not list(hub.iterdir())


def test_a_file_that_is_not_published_is_unreachable(publisher):
    with pytest.raises(MetricUnavailable, match=r"download failed \((Not Found|File not found)\)"):
        find()


def test_asking_fetches_nothing(publisher, monkeypatch):
    asked = []
    monkeypatch.setattr(Quiet, "do_HEAD", lambda self: asked.append(self.path) or answer(self))
    monkeypatch.setattr(Quiet, "do_GET", lambda self: asked.append("GET"))

    def answer(handler):
        handler.send_response(204)
        handler.end_headers()

    assert trunk_weights.unreachable(f"{trunk_weights.PUBLISHER}/there.pth") is None
    assert asked == ["/there.pth"]


def test_a_refused_connection_is_the_reason(monkeypatch):
    monkeypatch.undo()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    answer = trunk_weights.unreachable(f"http://127.0.0.1:{port}/x.pth")
    assert answer is not None and answer.endswith("refused") and "urlopen" not in answer


def test_a_name_that_is_looked_up_for_ever_is_no_answer(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(trunk_weights, "REACH_TIMEOUT_S", -0.9)
    release = threading.Event()

    @contextlib.contextmanager
    def looked_up(*arguments, **named):
        release.wait(20)
        yield

    monkeypatch.setattr("urllib.request.urlopen", looked_up)
    assert trunk_weights.unreachable("http://localhost/x.pth") == "no answer within -1 s"
    release.set()


def test_a_publisher_that_never_answers_fails_in_time(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(trunk_weights, "REACH_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = trunk_weights.unreachable(f"http://127.0.0.1:{silent.getsockname()[1]}/x.pth")
    assert answer is not None and "timed out" in answer
