"""The hub: there, not there, silent, switched off, or answered from the cache. No test leaves the machine."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
import torch
from huggingface_hub import constants

from lorascope.config.experiment import LoRAConfig, ModelConfig
from lorascope.errors import ModelError
from lorascope.models.adapters import wrap
from lorascope.models.base import load_base
from lorascope.models.checkpoint import find
from lorascope.models.modules import find_modules
from toy import save_toy

MODEL = "someone/tiny-llama"
CPU = torch.device("cpu")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As if the user were online; the test says where the hub is."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")  # refused
    return monkeypatch


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with one model in it."""
    repository = tmp_path / "hub" / f"models--{MODEL.replace('/', '--')}"
    save_toy(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


class _Hub(BaseHTTPRequestHandler):
    """What a download asks: the model's facts, the list of its files, a file's head, the file."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def answer(self, *, with_body: bool) -> None:
        path = urlsplit(self.path).path
        headers, body = {}, b"{}"
        if path.startswith(f"/api/models/{MODEL}/tree/"):
            tree = [{"type": "file", "path": n, "size": len(b), "oid": _sha1(b)} for n, b in self.files.items()]
            body = json.dumps(tree).encode()
        elif path.startswith(f"/api/models/{MODEL}"):
            files = [{"rfilename": name} for name in self.files]
            body = json.dumps({"id": MODEL, "sha": COMMIT, "siblings": files, "tags": []}).encode()
        elif path.startswith(f"/{MODEL}/resolve/{COMMIT}/"):
            name = path.rpartition("/")[2]
            self.asked.append(name)
            body = self.files[name]
            headers = {"ETag": f'"{_sha1(body)}"', "X-Repo-Commit": COMMIT}
        else:
            headers = {"X-Error-Code": "GatedRepo" if "gated" in path else "RepoNotFound"}
        self.send_response((403 if "gated" in path else 404) if "X-Error-Code" in headers else 200)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(online: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[_Hub]]:
    """A hub on the loopback that knows one model, with some files that nobody needs."""
    folder = save_toy(tmp_path / "on_the_hub")
    extra = {"pytorch_model.bin": b"x", "README.md": b"x", "consolidated.safetensors": b"x", "code.py": b"x"}
    _Hub.files = {file.name: file.read_bytes() for file in folder.iterdir()} | extra
    _Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    online.setattr(constants, "ENDPOINT", address)
    online.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    online.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield _Hub
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_of_the_hub_is_downloaded_once_and_only_what_it_needs(
    hub: type[_Hub], online: pytest.MonkeyPatch
) -> None:
    first = load_base(ModelConfig(model_id=MODEL), device=CPU)
    assert set(hub.asked) == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert (first.model_id, first.revision, first.notes) == (MODEL, COMMIT, ())
    online.setattr(constants, "HF_HUB_OFFLINE", True)
    again = load_base(ModelConfig(model_id=MODEL), device=CPU)
    assert again.revision == COMMIT
    for name, weight in first.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], weight)


def test_the_adapters_base_is_the_models_name_and_not_a_place_in_the_cache(cache: Path, tmp_path: Path) -> None:
    base = load_base(ModelConfig(model_id=MODEL), device=CPU)
    adapted = wrap(base, LoRAConfig(r=2), [m for m in find_modules(base.model) if m.group == "attention"], seed=0)
    adapted.model.save_pretrained(tmp_path)  # asks no hub, though this one has a name there
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == MODEL


def test_the_checkpoints_python_is_downloaded_only_if_asked_for(hub: type[_Hub]) -> None:
    find(MODEL, code=False)
    assert "code.py" not in hub.asked
    find(MODEL, code=True)
    assert "code.py" in hub.asked


@pytest.mark.parametrize(
    ("name", "code"), [("someone/else", "no-model"), ("a b", "no-model"), ("some/gated-model", "gated-model")]
)
def test_what_the_hub_does_not_give_is_said(hub: type[_Hub], name: str, code: str) -> None:
    with pytest.raises(ModelError) as error:
        find(name, code=False)
    assert error.value.code == code


def test_a_hub_model_without_safetensors_is_refused(hub: type[_Hub]) -> None:
    del hub.files["model.safetensors"]
    with pytest.raises(ModelError, match=f"{MODEL} has no weights"):
        find(MODEL, code=False)


def test_a_download_that_breaks_off_is_one_error(hub: type[_Hub]) -> None:
    hub.files["model.safetensors"] = b"not a safetensors file"
    with pytest.raises(ModelError, match=rf"model\.safetensors of {MODEL} is damaged"):
        find(MODEL, code=False)


def test_switched_off_and_not_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"HF_HUB_OFFLINE.*neither in the cache nor a folder") as error:
        find(MODEL, code=False)
    assert error.value.code == "hub-unreachable"
    embedded, folder = error.value.tries
    assert embedded.startswith("--model embedded --data_source builtin ")
    assert folder == "--model /path/to/folder"


def test_a_refused_hub_and_an_empty_cache(online: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="cannot be reached") as error:
        find(MODEL, code=False)
    assert error.value.code == "hub-unreachable"


def test_a_silent_hub_is_given_up_on_time(online: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        online.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        online.setattr("lorascope.hub.TIMEOUT", 0.5)
        started = time.perf_counter()
        with pytest.raises(ModelError, match=r"did not answer in 0\.5 s|cannot be reached"):
            find(MODEL, code=False)
        assert time.perf_counter() - started < 3


def test_the_cache_stands_in_for_a_hub_that_is_away_and_a_note_says_so(online: pytest.MonkeyPatch, cache: Path) -> None:
    base = load_base(ModelConfig(model_id=MODEL), device=CPU)
    assert base.revision == COMMIT
    assert "taken from the cache" in base.notes[0]


def test_half_a_model_in_the_cache_is_none(online: pytest.MonkeyPatch, cache: Path) -> None:
    next(cache.rglob("model.safetensors")).unlink()
    with pytest.raises(ModelError, match=f"cannot be reached.*in the cache, {MODEL} has no weights"):
        find(MODEL, code=False)


def test_the_cache_is_enough_when_the_hub_is_switched_off(cache: Path) -> None:
    base = load_base(ModelConfig(model_id=MODEL), device=CPU)
    assert (base.revision, base.model_id, base.notes) == (COMMIT, MODEL, ())


@pytest.mark.slow
def test_a_fresh_process_without_network_answers_within_ten_seconds(tmp_path: Path) -> None:
    code = (
        "from lorascope.config.experiment import ModelConfig\n"
        "from lorascope.models.base import load_base\n"
        "import time\n"
        "started = time.perf_counter()\n"
        "try:\n    load_base(ModelConfig())\n"
        "except Exception as error:\n    print(error.code, round(time.perf_counter() - started, 1))\n"
    )
    environment = os.environ | {
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": "http://127.0.0.1:1",
        "HF_HOME": str(tmp_path),
    }
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    kind, seconds = out.stdout.split()
    assert kind == "hub-unreachable"
    assert float(seconds) < 10
