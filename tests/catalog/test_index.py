"""Package indexes in every form pip knows: JSON, HTML, local folders, pages of links."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_agent.catalog.index import Index, Link
from edge_agent.errors import CatalogError

from .conftest import sha256

NAME = "my_voice-1.0-py3-none-any.whl"


@pytest.fixture
def index(settings, transport):
    return Index(settings, transport)


def test_json_and_html_give_the_same_link(site, index):
    (place,) = index.places("My.Voice")
    assert place == f"{site.url}/simple/my-voice/"
    path = site.package("my-voice", "1.0", {"v": b"x"})
    (link,) = index.wheels(place, "my.voice", "1.0")
    assert link == Link(site.url + path, NAME, sha256(site.files[path]), len(site.files[path]))
    site.package("my-voice", "1.0", {"v": b"x"}, html=True)
    assert index.wheels(place, "my_voice", "1.0") == [replace(link, size=None)]


def test_only_a_pure_wheel_of_the_very_version_counts(site, index):
    others = ["my_voice-1.0.1-py3-none-any.whl", "my_voice-1.0.tar.gz", "my_voice-1.0-cp311-cp311-linux_x86_64.whl"]
    page = "".join(f'<a href="{name}">x</a>' for name in [*others, "..%2F..%2Fmy_voice-1.0-py3-none-any.whl"])
    site.pages["/simple/my-voice/"] = ("text/html", page.encode())
    with pytest.raises(CatalogError, match=r"has no wheel of my-voice 1\.0"):
        index.wheels(f"{site.url}/simple/my-voice/", "my-voice", "1.0")


def test_a_page_with_a_base(site, index):
    page = f'<base href="https://files.example/a/"><a href="{NAME}">x</a>'
    site.pages["/simple/my-voice/"] = ("text/html", page.encode())
    (link,) = index.wheels(f"{site.url}/simple/my-voice/", "my-voice", "1.0")
    assert link.url == f"https://files.example/a/{NAME}"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"files": [{}]}', b'{"files": 3}', b'{"files": [3]}'])
def test_a_page_that_is_nonsense_is_said(site, index, body):
    site.pages["/simple/my-voice/"] = ("application/json", body)
    with pytest.raises(CatalogError, match="is no page of a package index"):
        index.wheels(f"{site.url}/simple/my-voice/", "my-voice", "1.0")


def test_an_index_in_a_local_folder(tmp_path, settings, transport):
    (tmp_path / "my-voice").mkdir()
    (tmp_path / "my-voice" / NAME).write_bytes(b"x")
    index = Index(replace(settings, indexes=(tmp_path.as_uri(),)), transport)
    (place,) = index.places("my_voice")
    (link,) = index.wheels(place, "my_voice", "1.0")
    assert link.local == tmp_path / "my-voice" / NAME
    (tmp_path / "my-voice" / "index.html").write_text(f'<a href="../{NAME}">x</a>')
    (link,) = index.wheels(place, "my_voice", "1.0")
    assert link.local == tmp_path / NAME
    with pytest.raises(CatalogError, match="has no wheel"):
        index.wheels(f"{tmp_path.as_uri()}/other/", "other", "1.0")


def test_no_place_to_look(settings, transport):
    with pytest.raises(CatalogError, match="no-index"):
        list(Index(replace(settings, indexes=()), transport).places("x"))
