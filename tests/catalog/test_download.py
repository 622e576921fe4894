"""Downloads that are cut, refused, damaged or out of room, over real sockets."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest

from edge_agent.catalog import disk
from edge_agent.catalog import download as downloads
from edge_agent.catalog.download import Target, download
from edge_agent.catalog.pip_settings import PipSettings
from edge_agent.catalog.transport import Transport
from edge_agent.errors import CatalogError

from .conftest import noise, sha256

DATA = noise(300_000)
PATH = "/hub/model.bin"


@pytest.fixture
def target(site, tmp_path):
    site.files[PATH] = DATA
    return Target(f"{site.url}{PATH}", tmp_path / "model.bin.part", "model.bin", len(DATA), sha256(DATA))


def code_of(transport, target, heard) -> str:
    with pytest.raises(CatalogError) as caught:
        download(transport, target, heard)
    return caught.value.code


def test_brings_the_file_and_says_how_far_it_is(transport, target, heard):
    download(transport, target, heard)
    assert target.part.read_bytes() == DATA
    assert heard.progress[-1] == ("model.bin", len(DATA), len(DATA))


def test_a_cut_connection_is_resumed_where_it_broke(site, transport, target, heard):
    site.cuts[PATH] = [100_000, 50_000]
    download(transport, target, heard)
    assert target.part.read_bytes() == DATA
    assert site.asked(PATH) == [None, "bytes=100000-", "bytes=150000-"]
    assert site.requests[1][2] == f'"{sha256(DATA)[:16]}"'  # If-Range carries the ETag


def test_a_later_run_resumes_what_an_earlier_one_left(site, settings, target, heard):
    impatient = Transport(settings, pauses_s=())
    site.cuts[PATH] = [100_000, 0]
    assert code_of(impatient, target, heard) == "catalog.unreachable"
    assert target.part.read_bytes() == DATA[:100_000]
    download(impatient, target, heard)
    assert target.part.read_bytes() == DATA
    assert site.asked(PATH)[-1] == "bytes=100000-"


def test_a_server_without_ranges_is_asked_anew(site, transport, target, heard):
    site.ranges = False
    site.cuts[PATH] = [100_000]
    download(transport, target, heard)
    assert target.part.read_bytes() == DATA


def test_a_file_that_changed_meanwhile_starts_anew(site, settings, target, heard):
    new = noise(300_000, seed=1)
    site.cuts[PATH] = [100_000, 0]
    assert code_of(Transport(settings, pauses_s=()), target, heard) == "catalog.unreachable"
    site.files[PATH] = new
    download(Transport(settings, pauses_s=()), replace(target, sha256=sha256(new)), heard)
    assert target.part.read_bytes() == new


def test_without_a_validator_a_wrong_splice_is_fetched_once_more_from_the_start(site, settings, target, heard):
    site.validators = False
    site.cuts[PATH] = [100_000, 0]
    new = noise(300_000, seed=1)
    assert code_of(Transport(settings, pauses_s=()), target, heard) == "catalog.unreachable"
    site.files[PATH] = new
    download(Transport(settings, pauses_s=()), replace(target, sha256=sha256(new)), heard)
    assert target.part.read_bytes() == new
    assert site.asked(PATH)[-2:] == ["bytes=100000-", None]


def test_a_wrong_splice_within_one_run_is_fetched_once_more_as_well(site, transport, target, heard):
    site.validators = False
    site.cuts[PATH] = [100_000]
    heard.moved = lambda label, done, total: site.files.update({PATH: new})
    new = noise(300_000, seed=1)
    download(transport, replace(target, sha256=sha256(new)), heard)
    assert target.part.read_bytes() == new
    assert site.asked(PATH) == [None, "bytes=100000-", None]


def test_without_validator_and_digest_nothing_is_resumed(site, transport, target, heard):
    site.validators = False
    site.cuts[PATH] = [100_000]
    download(transport, replace(target, sha256=None), heard)
    assert target.part.read_bytes() == DATA
    assert site.asked(PATH) == [None, None]


def test_a_part_longer_than_the_file_is_dropped(site, transport, target, heard):
    site.cuts[PATH] = [100_000]
    download(transport, target, heard)
    site.files[PATH] = DATA[:1000]
    target.part.write_bytes(DATA + b"more")
    download(transport, replace(target, size=1000, sha256=sha256(DATA[:1000])), heard)
    assert target.part.read_bytes() == DATA[:1000]


def test_wrong_content_leaves_nothing_to_resume(site, transport, target, heard):
    site.files[PATH] = noise(len(DATA), seed=2)
    assert code_of(transport, target, heard) == "catalog.digest"
    assert not list(target.part.parent.iterdir())


def test_a_wrong_length_is_refused_before_it_is_fetched(site, transport, target, heard):
    site.files[PATH] = DATA + DATA
    with pytest.raises(CatalogError, match=r"600000 bytes instead of 300000"):
        download(transport, target, heard)
    assert not heard.progress


@pytest.mark.parametrize(
    ("status", "code"), [(404, "not_found"), (403, "refused"), (401, "refused"), (400, "unreachable")]
)
def test_a_refusal_is_not_asked_again(site, transport, target, heard, status, code):
    site.statuses[PATH] = [status]
    assert code_of(transport, target, heard) == f"catalog.{code}"
    assert len(site.requests) == 1


def test_a_busy_server_is_asked_again_a_few_times(site, transport, target, heard):
    site.statuses[PATH] = [503, 429]
    download(transport, target, heard)
    site.statuses[PATH] = [503] * 10
    target.part.unlink()
    assert code_of(transport, target, heard) == "catalog.unreachable"
    assert len(site.statuses[PATH]) == 7


def test_nobody_there(transport, target, heard, dead_url):
    with pytest.raises(CatalogError, match=r"cannot be reached \(.*refused"):
        download(transport, replace(target, url=f"{dead_url}/x"), heard)


def test_a_server_that_falls_silent_is_given_up(site, target, heard, monkeypatch):
    site.pause[PATH] = 1000
    hasty = Transport(PipSettings(timeout_s=0.2), pauses_s=())
    monkeypatch.setattr(downloads, "MAX_ROUNDS", 1)
    with pytest.raises(CatalogError, match="broke off"):
        download(hasty, target, heard)
    assert target.part.stat().st_size == 1000


def test_a_server_that_crawls_is_given_up(transport, target, heard, monkeypatch):
    monkeypatch.setattr(downloads, "SLOWEST_S", 0.0)
    monkeypatch.setattr(downloads, "SLOWEST_BYTES", 1 << 30)
    with pytest.raises(CatalogError, match="all but stopped"):
        download(transport, target, heard)


def test_redirects_are_followed_and_keep_the_range(site, transport, target, heard):
    site.redirects["/moved"] = PATH
    site.cuts[PATH] = [100_000]
    download(transport, replace(target, url=f"{site.url}/moved"), heard)
    assert target.part.read_bytes() == DATA
    assert site.asked(PATH) == [None, "bytes=100000-"]


def test_the_login_of_an_address_is_sent_and_never_shown(site, transport, target, heard):
    site.login = "user:secret"
    url = target.url.replace("http://", "http://user:secret@")
    download(transport, replace(target, url=url), heard)
    site.login = "user:other"
    target.part.unlink()
    with pytest.raises(CatalogError) as caught:
        download(transport, replace(target, url=url), heard)
    assert caught.value.code == "catalog.refused"
    assert "secret" not in str(caught.value)


def test_a_disk_without_room_is_found_before_anything_is_written(transport, target, heard, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 1000)
    with pytest.raises(CatalogError, match=r"has 1 kB free and 17\.1 MB are needed"):
        download(transport, target, heard)
    assert not target.part.exists()


def test_a_disk_that_fills_up_keeps_the_part_for_the_next_run(site, transport, target, heard, monkeypatch):
    written, real_write = 0, os.write

    def write(descriptor, data):
        nonlocal written
        if written >= 65536:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = real_write(descriptor, data[: 65536 - written])
        written += count
        return count

    with monkeypatch.context() as patch:
        patch.setattr(disk.os, "write", write)
        with pytest.raises(CatalogError, match="No space left on device") as caught:
            download(transport, target, heard)
    assert caught.value.code == "catalog.disk_full"
    assert target.part.read_bytes() == DATA[:65536]
    download(transport, target, heard)
    assert target.part.read_bytes() == DATA
    assert site.asked(PATH)[-1] == "bytes=65536-"


def test_a_folder_that_cannot_be_written_is_said(transport, target, heard, tmp_path):
    blocked = tmp_path / "blocked.part"
    blocked.mkdir()
    assert code_of(transport, replace(target, part=blocked), heard) == "catalog.not_writable"
