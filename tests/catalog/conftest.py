"""A site on loopback that serves a model hub and a package index, and misbehaves as asked."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import socket
import threading
import zipfile
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edge_agent.catalog.document import load_catalog
from edge_agent.catalog.pip_settings import PipSettings
from edge_agent.catalog.pull import pull
from edge_agent.catalog.sources import Sources
from edge_agent.catalog.store import Store
from edge_agent.catalog.transport import Transport


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that differ everywhere, so that a wrong splice is a wrong digest."""
    blocks = (hashlib.sha256(f"{seed}/{number}".encode()).digest() for number in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def wheel(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            archive.writestr(path, data)
    return buffer.getvalue()


@dataclass
class Site:
    """What is served where, and how. Lists of faults are used up, one a request."""

    files: dict[str, bytes] = field(default_factory=dict)
    pages: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)  # close the connection after so many bytes of the body
    statuses: dict[str, list[int]] = field(default_factory=dict)
    ranges: bool = True
    validators: bool = True
    login: str = ""
    pause: dict[str, int] = field(default_factory=dict)  # send so many bytes of the body, then wait for `go_on`
    paused: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    url: str = ""

    def hub(self, repository: str, path: str, data: bytes) -> dict[str, str]:
        """Serve a hub file; its source for the catalog."""
        self.files[f"/hub/{repository}/resolve/main/{path}"] = data
        return {"type": "hub", "repository": repository, "revision": "main", "path": path}

    def package(self, name: str, version: str, members: dict[str, bytes], *, html: bool = False) -> str:
        """Serve a wheel and the index page of its package; the path of the wheel."""
        data = wheel(members)
        filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        path = f"/files/{filename}"
        self.files[path] = data
        if html:
            body = f'<!DOCTYPE html><a href="../../files/{filename}#sha256={sha256(data)}">{filename}</a>'
            self.pages[f"/simple/{name}/"] = ("text/html", body.encode())
        else:
            file = {"filename": filename, "url": path, "hashes": {"sha256": sha256(data)}, "size": len(data)}
            document = {"files": [{"filename": "other-1.tar.gz", "url": "/x", "hashes": {}}, file]}
            self.pages[f"/simple/{name}/"] = ("application/vnd.pypi.simple.v1+json", json.dumps(document).encode())
        return path

    def asked(self, path: str) -> list[str | None]:
        """The Range header of every request for `path`."""
        return [wanted for asked, wanted, _ in self.requests if asked == path]


class Handler(BaseHTTPRequestHandler):
    def __init__(self, site, *args):
        self.site = site
        super().__init__(*args)

    def log_message(self, *args):
        pass

    def do_GET(self):
        site, path = self.site, self.path
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        site.requests.append((path, wanted, condition))
        if (
            site.login
            and self.headers.get("Authorization") != "Basic " + base64.b64encode(site.login.encode()).decode()
        ):
            return self.send_error(401)
        if site.statuses.get(path):
            return self.send_error(site.statuses[path].pop(0))
        if path in site.redirects:
            self.send_response(302)
            self.send_header("Location", site.redirects[path])
            return self.end_headers()
        if path in site.pages:
            kind, body = site.pages[path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            return self.wfile.write(body)
        if path not in site.files:
            return self.send_error(404)
        return self.send_file(site.files[path], wanted, condition)

    def send_file(self, data, wanted, condition):
        site, etag = self.site, f'"{sha256(data)[:16]}"'
        match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        start = int(match[1]) if match and site.ranges and condition in (None, etag) else 0
        if match and site.ranges and start >= len(data):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        if site.validators:
            self.send_header("ETag", etag)
        self.end_headers()
        body = data[start:]
        if self.path in site.pause:
            size = site.pause.pop(self.path)
            self.wfile.write(body[:size])
            self.wfile.flush()
            site.paused.set()
            site.go_on.wait(30)
            body = body[size:]
        if site.cuts.get(self.path):
            body = body[: site.cuts[self.path].pop(0)]
        try:
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:
            pass  # the client was killed, as the test wanted
        return None


class Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing the server waits for every request

    def handle_error(self, request, client_address):
        pass  # a client that a test killed


@pytest.fixture
def site(monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    site = Site()
    server = Server(("127.0.0.1", 0), partial(Handler, site))
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"{site.url}/hub")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.url}/simple")
    yield site
    site.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def dead_url():
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def settings(site):
    return PipSettings(indexes=(f"{site.url}/simple",), timeout_s=5.0)


@pytest.fixture
def transport(settings):
    return Transport(settings, pauses_s=(0.0, 0.0))


class Heard:
    """A listener that remembers."""

    def __init__(self):
        self.sentences = []
        self.progress = []

    def said(self, sentence):
        self.sentences.append(sentence)

    def moved(self, label, done, total):
        self.progress.append((label, done, total))


@pytest.fixture
def heard():
    return Heard()


def listed(path: str, data: bytes, *sources) -> dict:
    """A file as the catalog lists it."""
    return {"path": path, "size": len(data), "sha256": sha256(data), "sources": list(sources)}


def from_wheels(*members: tuple[str, str, str]) -> dict:
    """A package source: (package, version, path) of each member."""
    keys = ("package", "version", "path")
    return {"type": "package", "members": [dict(zip(keys, member, strict=True)) for member in members]}


CHAT = {
    "system": "Be brief.",
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "repeat_penalty": 1.0,
    "max_tokens": 8,
    "history_exchanges": 1,
    "history_tokens": 8,
    "context_tokens": 64,
}


def document(files: list[dict]) -> dict:
    """A catalog whose voice, `speak`, has the given files; the other models of its profile stand by."""
    other = [listed("x.bin", b"x", {"type": "hub", "repository": "a/b", "revision": "main", "path": "x.bin"})]
    about = {"title": "a model", "licence": "MIT"}
    return {
        "profiles": {"embedded": {"title": "all", "asr": "hear", "llm": "think", "tts": "speak", "turn": "wait"}},
        "models": {
            "hear": {**about, "kind": "asr", "languages": ["en"], "files": other},
            "think": {**about, "kind": "llm", "chat": CHAT, "files": other},
            "speak": {**about, "kind": "tts", "language": "en_US", "rate_hz": 22050, "files": files},
            "wait": {**about, "kind": "turn", "files": other},
        },
    }


def toml(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@pytest.fixture
def make_store(tmp_path):
    """Write a catalog that lists the given files under `speak`; the store for it."""

    def make(*files: dict) -> Store:
        path = tmp_path / "catalog.toml"
        path.write_text("".join(f"{key} = {toml(item)}\n" for key, item in document(list(files)).items()))
        return Store(tmp_path / "models", load_catalog(path))

    return make


@pytest.fixture
def fetch(settings, transport, heard):
    """Pull `speak`, without pauses between attempts."""

    def run(store: Store, **options):
        return pull(
            store,
            "speak",
            heard,
            open_sources=lambda work, listener: Sources(work, listener, settings, transport),
            **options,
        )

    return run


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where the store of `make_store` keeps `speak`."""
    return tmp_path / "models" / "speak"
