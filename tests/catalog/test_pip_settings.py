"""pip's configuration as it is printed, and as its environment variables say it."""

from __future__ import annotations

import subprocess

import pytest

from edge_agent.catalog import pip_settings
from edge_agent.catalog.pip_settings import DEFAULT_INDEX, PipSettings, from_config_list, from_environment


def test_nothing_configured():
    assert from_config_list("") == PipSettings()
    assert PipSettings().indexes == (DEFAULT_INDEX,)


def test_the_environment_overrides_the_command_which_overrides_the_global_section():
    answer = """global.index-url='https://one/simple'
global.extra-index-url='https://two/simple\\nfile:///three'
global.cert='/certs.pem'
download.index-url='https://four/simple'
global.trusted_host='a b'
install.proxy='http://unused'
:env:.timeout='20'
WARNING: something = else
"""
    assert from_config_list(answer) == PipSettings(
        indexes=("https://four/simple", "https://two/simple", "file:///three"),
        cert="/certs.pem",
        trusted_hosts=frozenset({"a", "b"}),
        timeout_s=20.0,
    )
    assert from_config_list(answer + ":env:.index-url='https://five/simple'").indexes[0] == "https://five/simple"


def test_no_index_leaves_the_links():
    settings = from_config_list("global.no-index='true'\nglobal.find-links='/wheels https://x/y.html'")
    assert settings.indexes == ()
    assert settings.find_links == ("/wheels", "https://x/y.html")


def test_variables_alone():
    settings = from_environment({"PIP_INDEX_URL": "https://i/simple", "PIP_DEFAULT_TIMEOUT": "900", "HOME": "/"})
    assert settings == PipSettings(indexes=("https://i/simple",), timeout_s=pip_settings.MAX_TIMEOUT_S)


@pytest.mark.parametrize("failure", [FileNotFoundError(), subprocess.CalledProcessError(1, "pip")])
def test_an_environment_without_pip(monkeypatch, failure):
    def run(*args, **options):
        raise failure

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("PIP_INDEX_URL", "https://i/simple")
    assert pip_settings.read_pip_settings().indexes[0] == "https://i/simple"


def test_what_pip_itself_says(monkeypatch, tmp_path):
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://from-file/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert pip_settings.read_pip_settings().indexes[0] == "https://from-file/simple"
