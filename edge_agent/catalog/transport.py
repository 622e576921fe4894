"""HTTP for downloads: proxies, certificates and logins as pip has them, and a sentence for every way it can fail.

CatalogError
├── PassingError   another attempt may succeed: no answer, a cut connection, 429, 5xx
└── other          it will not: `refused` (401, 403), `not_found` (404, 410), `unreachable` (anything else)
"""

from __future__ import annotations

import base64
import http.client
import netrc
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from time import sleep
from typing import TypeVar, cast

from edge_agent.catalog.pip_settings import PipSettings
from edge_agent.errors import CatalogError

PAUSES_S = (0.5, 2.0)  # before the second and the third attempt
MAX_PAGE_BYTES = 32 << 20
RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})

Answer = TypeVar("Answer")


class PassingError(CatalogError):
    """A failure that another attempt may not meet."""


class Transport:
    """Opens http and https URLs, follows their redirects, and never waits without a limit.

    Args:
        settings: proxy, certificates, trusted hosts and the timeout of every single network operation.
        pauses_s: seconds to wait before each further attempt; their number bounds the attempts.
    """

    def __init__(self, settings: PipSettings, pauses_s: tuple[float, ...] = PAUSES_S) -> None:
        self.pauses_s = pauses_s
        self._timeout_s = settings.timeout_s
        proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else None
        # Only what downloads need: urllib's default opener would also follow a redirect to ftp.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(proxies),
            urllib.request.UnknownHandler(),
            urllib.request.HTTPHandler(),
            _Https(settings),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)
        self._agent = f"edge-agent/{_own_version()}"

    def open(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """The response to a GET, its body still to be read; the caller closes it.

        Raises urllib.error.HTTPError for a status that is no success, CatalogError when there is no answer.
        """
        address, login = _login(url)
        request = urllib.request.Request(address, headers={"User-Agent": self._agent, **headers})  # noqa: S310
        if login:
            request.add_unredirected_header("Authorization", login)  # never shown to where it redirects
        try:
            return cast(http.client.HTTPResponse, self._opener.open(request, timeout=self._timeout_s))
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise no_answer(url, error) from error
        except ValueError as error:
            raise CatalogError("unreachable", f"{shown(url)} is no address that can be opened ({error})") from error

    def page(self, url: str, accept: str) -> tuple[str, str, bytes]:
        """A small page as (final address, content type, body); tried again when the failure may pass."""

        def attempt() -> tuple[str, str, bytes]:
            try:
                with self.open(url, {"Accept": accept}) as response:
                    body = response.read(MAX_PAGE_BYTES + 1)
                    kind = response.headers.get_content_type()
                    address = response.geturl()
            except urllib.error.HTTPError as error:
                with error:
                    raise bad_status(url, error.code) from error
            except (OSError, http.client.HTTPException) as error:
                raise no_answer(url, error) from error
            if len(body) > MAX_PAGE_BYTES:
                raise CatalogError("unreachable", f"{shown(url)} answered with more than a page of links can be")
            return address, kind, body

        return self.persist(attempt)

    def persist(self, attempt: Callable[[], Answer]) -> Answer:
        """Call `attempt` until it answers or its failure is not PassingError, pausing in between."""
        for pause_s in self.pauses_s:
            try:
                return attempt()
            except PassingError:
                sleep(pause_s)
        return attempt()


class _Https(urllib.request.HTTPSHandler):
    """HTTPS that knows pip's certificates, and the hosts that pip was told to trust without one."""

    def __init__(self, settings: PipSettings) -> None:
        super().__init__()
        self._trusted = settings.trusted_hosts
        self._checked = ssl.create_default_context()
        self._unchecked = ssl.create_default_context()
        self._unchecked.check_hostname = False
        self._unchecked.verify_mode = ssl.CERT_NONE
        try:
            if settings.cert:
                self._checked.load_verify_locations(settings.cert)
            if settings.client_cert:
                self._checked.load_cert_chain(settings.client_cert)
                self._unchecked.load_cert_chain(settings.client_cert)
        except OSError as error:
            raise CatalogError(
                "bad_certificate",
                f"a certificate that pip is configured with cannot be loaded ({error}); see `pip config list`",
            ) from error

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        host = urllib.parse.urlsplit(req.full_url)
        trusted = host.hostname in self._trusted or host.netloc in self._trusted
        context = self._unchecked if trusted else self._checked
        return self.do_open(http.client.HTTPSConnection, req, context=context)


def shown(url: str) -> str:
    """An address fit for people and logs: without login, query or fragment."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def no_answer(url: str, error: Exception) -> PassingError:
    """The sentence for a connection that failed, timed out or was cut."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    reason = str(cause) or type(cause).__name__
    return PassingError("unreachable", f"{shown(url)} cannot be reached ({reason}); check the network and its proxy")


def bad_status(url: str, status: int) -> CatalogError:
    """The sentence for an HTTP status that is no success."""
    if status in (401, 403, 407):
        return CatalogError(
            "refused",
            f"{shown(url)} refuses access (HTTP {status}); if it needs a login, put it into the index URL or ~/.netrc",
        )
    if status in (404, 410):
        return CatalogError("not_found", f"{shown(url)} does not exist there (HTTP {status})")
    kind = PassingError if status in RETRY_STATUS else CatalogError
    return kind("unreachable", f"{shown(url)} answers HTTP {status}; try again later")


def _login(url: str) -> tuple[str, str | None]:
    """The address without its login, and the Authorization header for it (from the address, else from ~/.netrc)."""
    parts = urllib.parse.urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if at:
        user, _, password = (urllib.parse.unquote(part) for part in login.partition(":"))
        url = urllib.parse.urlunsplit(parts._replace(netloc=host))
    else:
        try:
            known = netrc.netrc().authenticators(parts.hostname or "")
        except (OSError, netrc.NetrcParseError):
            known = None
        if not known:
            return url, None
        user, password = known[0], known[2] or ""
    return url, "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _own_version() -> str:
    try:
        return version("edge-agent")
    except PackageNotFoundError:
        return "0"
