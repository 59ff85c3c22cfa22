"""The answer to a scrape, whichever server it comes through, and the reader that it is made from."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import chain

from tachograph.scrape.negotiation import OPENMETRICS, TEXT, takes_gzip, wants_openmetrics
from tachograph.scrape.reader import PrometheusReader

# Below this many bytes a compressed body costs more than it saves.
_TINY = 1024
_PLAIN = "text/plain; charset=utf-8"

_source: PrometheusReader | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: headers without the length, which `headers_sent` adds, and the body in parts."""

    status: HTTPStatus
    headers: tuple[tuple[str, str], ...]
    body: list[bytes] = field(default_factory=list)
    head: bool = False

    def headers_sent(self) -> list[tuple[str, str]]:
        """Return the headers with `Content-Length`, except for HEAD, for which nothing was collected."""
        if self.head:
            return list(self.headers)
        return [*self.headers, ("Content-Length", str(sum(map(len, self.body))))]


def install(source: PrometheusReader | None) -> None:
    """Put a reader in force for every endpoint of this process, or none."""
    global _source
    _source = source


def in_force() -> PrometheusReader | None:
    """Return the reader in force."""
    return _source


def answer(method: str, accept: str, accept_encoding: str) -> Answer:
    """Answer a request for the metrics; the headers are the request's, empty where it has none."""
    if method not in ("GET", "HEAD"):
        return said(HTTPStatus.METHOD_NOT_ALLOWED, "use GET or HEAD", ("Allow", "GET, HEAD"))
    source = in_force()
    if source is None:
        reason = (
            "no metrics: tachograph is not configured in this process, or has ended, or serves no prometheus exporter"
        )
        return said(HTTPStatus.SERVICE_UNAVAILABLE, reason, head=method == "HEAD")
    return _document(source, method, accept, accept_encoding)


def said(status: HTTPStatus, text: str, *headers: tuple[str, str], head: bool = False) -> Answer:
    """Answer with one line of text."""
    return Answer(status, (("Content-Type", _PLAIN), *headers), [] if head else [f"{text}\n".encode()], head)


def _document(source: PrometheusReader, method: str, accept: str, accept_encoding: str) -> Answer:
    openmetrics = wants_openmetrics(accept)
    headers = (("Content-Type", OPENMETRICS if openmetrics else TEXT), ("Vary", "Accept, Accept-Encoding"))
    if method == "HEAD":
        return Answer(HTTPStatus.OK, headers, head=True)

    chunks = source.render(openmetrics, host=True)
    first = next(chunks, b"")
    if len(first) < _TINY or not takes_gzip(accept_encoding):
        return Answer(HTTPStatus.OK, headers, [first, *chunks])
    return Answer(HTTPStatus.OK, (*headers, ("Content-Encoding", "gzip")), [*_gzipped(chain([first], chunks))])


def _gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()
