"""A hub that answers on this machine; nothing here needs a network."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from huggingface_hub import constants
from vaebench.bench.codecs import open_codec
from vaebench.bench.errors import CodecError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(BaseHTTPRequestHandler):
    """Serves the files of one repository, org/name, whose autoencoder is in vae/."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        path = self.path.split("?")[0]
        self.asked.append(f"{self.command} {path}")
        if path.startswith("/api/models/org/"):
            self.list_files(path)
            return
        name = path.removeprefix(f"/org/name/resolve/{COMMIT}/")
        content = self.files.get(name)
        if content is None:
            self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        etag = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
        self.send(200, content, headers, with_body)

    def list_files(self, path):
        if not path.startswith("/api/models/org/name"):
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif path.endswith("/revision/none"):
            self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = [{"rfilename": name} for name in self.files]
            body = {"id": "org/name", "sha": COMMIT, "siblings": siblings, "tags": []}
            self.send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def send(self, status, body, headers, with_body=True):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *args):
        pass


def point_hub_at(monkeypatch, endpoint, cache):
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def hub(kl_folder, tmp_path, monkeypatch):
    files = {f"vae/{path.name}": path.read_bytes() for path in kl_folder.iterdir()}
    files["model_index.json"] = b"{}"
    handler = type("Handler", (FakeHub,), {"files": files, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    point_hub_at(monkeypatch, f"http://127.0.0.1:{server.server_port}", tmp_path / "cache")
    yield handler
    server.shutdown()
    server.server_close()


def cut_off(monkeypatch, tmp_path):
    # Nothing listens on port 9 of this machine: connecting fails at once.
    point_hub_at(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")


def test_a_hub_id_is_fetched_once(hub, kl_folder, images):
    expected = open_codec("it", str(kl_folder), {}).encode(images).latents
    codec = open_codec("it", "org/name", {"revision": "main"})
    assert torch.equal(codec.encode(images).latents, expected)
    assert codec.info.source == "org/name"
    assert codec.info.revision == COMMIT
    assert "GET /api/models/org/name/revision/main" in hub.asked
    hub.asked.clear()
    open_codec("it", "org/name", {})
    # What is in the cache is not asked for again; one listing tells that it is still current.
    assert hub.asked == ["GET /api/models/org/name"]


def test_without_a_network_the_cache_serves(hub, images, monkeypatch, tmp_path):
    expected = open_codec("it", "org/name", {"revision": "main"}).encode(images).latents
    cut_off(monkeypatch, tmp_path)
    by_commit = open_codec("it", "org/name", {"revision": COMMIT})
    assert torch.equal(by_commit.encode(images).latents, expected)
    alone = open_codec("it", "org/name", {"revision": COMMIT, "local_files_only": True})
    assert torch.equal(alone.encode(images).latents, expected)
    assert alone.info.revision == COMMIT


def test_without_network_and_cache_it_is_told(monkeypatch, tmp_path):
    cut_off(monkeypatch, tmp_path)
    with pytest.raises(CodecError) as error:
        open_codec("it", "org/name", {})
    sentence = str(error.value)
    assert sentence.startswith(
        "Cannot open org/name: there is no such folder, the hub cannot be reached ("
    )
    assert sentence.endswith(
        "), and its cache has no complete copy. Connect, or give the path of a downloaded copy."
    )
    with pytest.raises(CodecError) as error:
        open_codec("it", "org/name", {"local_files_only": True, "revision": 1234567})
    assert str(error.value) == (
        "Cannot open org/name: the hub's cache has no complete copy of revision 1234567. "
        "Leave out local_files_only, or give the path of a downloaded copy."
    )


def test_what_the_hub_does_not_have_is_told(hub):
    with pytest.raises(CodecError) as error:
        open_codec("it", "org/other", {})
    assert str(error.value) == (
        "Cannot open org/other: there is no such folder, and the hub has no such public "
        "repository. Check the spelling, or log in with: hf auth login."
    )
    with pytest.raises(CodecError) as error:
        open_codec("it", "org/name", {"revision": "none"})
    assert str(error.value) == "Cannot open org/name: the hub has no revision 'none' of it."
    with pytest.raises(CodecError, match="no diffusers autoencoder in unet"):
        open_codec("it", "org/name", {"subfolder": "unet"})
