"""Target: the URL of a server."""

from random import Random

from rtmcore.client.config import Endpoint
from rtmcore.errors import InvalidArgument
from tests.fuzz.harness import Case, expect
from tests.fuzz.mutation import mutate

_URLS = (
    b"ws://127.0.0.1:7430",
    b"wss://rtm.example.com/",
    b"wss://rtm.example.com:8443/path?query=1",
    b"ws://[::1]:80/rtm/v1",
    "wss://b\u00fccher.example".encode(),
    b"ws://user:password@host/#fragment",
    b"http://x",
)


class UrlTarget:
    """`Endpoint.parse`: a URL is read or refused."""

    name = "url"

    def make(self, random: Random) -> Case:
        return Case([mutate(random, random.choice(_URLS), _URLS)])

    def run(self, case: Case) -> None:
        url = case.pieces[0].decode("utf-8", "replace")
        try:
            endpoint = Endpoint.parse(url)
        except InvalidArgument:
            return
        expect(0 < endpoint.port < 65536, f"port {endpoint.port}")
        expect(endpoint.target.startswith("/") and endpoint.target.isascii(), f"target {endpoint.target!r}")
        expect(endpoint.authority.isascii() and bool(endpoint.host), f"host {endpoint.host!r}")
        whole = endpoint.target + endpoint.authority
        expect(not any(character in whole for character in "\r\n \0"), f"line breaks or blanks in {whole!r}")
