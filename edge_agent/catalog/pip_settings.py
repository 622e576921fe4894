"""Where pip would look for packages on this machine, and how it would get there.

pip itself merges its configuration files, so it is asked (`pip config list`); in an environment without pip its
variables (PIP_INDEX_URL and so on) still count. Credentials come from the index URL or from ~/.netrc, as with pip;
a keyring is not asked.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_INDEX = "https://pypi.org/simple"  # pip's own default
DEFAULT_TIMEOUT_S = 30.0
MAX_TIMEOUT_S = 60.0
ASKING_PIP_S = 60.0


@dataclass(frozen=True)
class PipSettings:
    """What a download needs of pip's configuration; `find_links` are folders, files or pages of links."""

    indexes: tuple[str, ...] = (DEFAULT_INDEX,)
    find_links: tuple[str, ...] = ()
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    trusted_hosts: frozenset[str] = frozenset()
    timeout_s: float = DEFAULT_TIMEOUT_S


def read_pip_settings() -> PipSettings:
    """The settings that `pip download` would use in this environment."""
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"],
            capture_output=True,
            text=True,
            timeout=ASKING_PIP_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return from_environment(os.environ)
    return from_config_list(answer)


def from_config_list(answer: str) -> PipSettings:
    """Settings from what `pip config list` prints: lines such as `global.index-url='https://…'`."""
    sections: dict[str, dict[str, str]] = {}
    for line in answer.splitlines():
        name, equals, quoted = line.partition("=")
        section, dot, key = name.strip().rpartition(".")
        if not (equals and dot):
            continue
        try:
            value = str(ast.literal_eval(quoted))
        except (ValueError, SyntaxError):
            continue  # a line of a warning, not of the configuration
        sections.setdefault(section, {})[key.replace("_", "-")] = value
    # pip's own order: the command's section overrides the global one, the environment overrides both.
    merged: dict[str, str] = {}
    for section in ("global", "download", ":env:"):
        merged |= sections.get(section, {})
    return _settings(merged)


def from_environment(environment: Mapping[str, str]) -> PipSettings:
    """Settings from pip's environment variables alone."""
    prefix = "PIP_"
    return _settings(
        {
            name.removeprefix(prefix).lower().replace("_", "-"): value
            for name, value in environment.items()
            if name.startswith(prefix) and value
        }
    )


def _settings(options: Mapping[str, str]) -> PipSettings:
    indexes = (options.get("index-url", DEFAULT_INDEX), *options.get("extra-index-url", "").split())
    if options.get("no-index", "").lower() in {"1", "true", "yes", "on", "y", "t"}:
        indexes = ()
    try:
        timeout_s = float(options.get("timeout", options.get("default-timeout", "")))
    except ValueError:
        timeout_s = DEFAULT_TIMEOUT_S
    return PipSettings(
        indexes=indexes,
        find_links=tuple(options.get("find-links", "").split()),
        cert=options.get("cert"),
        client_cert=options.get("client-cert"),
        proxy=options.get("proxy"),
        trusted_hosts=frozenset(options.get("trusted-host", "").split()),
        timeout_s=min(max(timeout_s, 1.0), MAX_TIMEOUT_S),
    )
