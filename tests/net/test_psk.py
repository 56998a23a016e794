"""TLS with pre-shared keys: handshakes in memory, where this Python has them, and whom they were with."""

import ssl

import pytest

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.net.psk import PskContext, is_available, psk_context

KEYS = {"meter": (Secret(b"k" * 32), b"salt of meter"), "lamp": (Secret(b"l" * 32), b"salt of lamp")}
needs_psk = pytest.mark.skipif(not is_available(), reason="TLS-PSK needs Python 3.13")


def find(name: str) -> tuple[Secret, bytes]:
    return KEYS.get(name, (Secret(b"?" * 32), b""))


@pytest.mark.skipif(is_available(), reason="this Python has TLS-PSK")
def test_an_older_python_is_named_as_the_reason() -> None:
    with pytest.raises(LocalError, match=r"Python 3\.13"):
        psk_context(find)


class Handshake:
    """A client and a server in memory, driven one step at a time as a stream drives it."""

    def __init__(
        self, server: ssl.SSLContext, name: str, key: bytes, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ) -> None:
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        client.minimum_version = client.maximum_version = version
        client.set_ciphers("PSK")
        client.set_psk_client_callback(lambda hint: (name, key))  # type: ignore[attr-defined,unused-ignore]
        one, two = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.context = server
        self.heard: tuple[str, bytes] | None = None
        self.server = server.wrap_bio(one, two, server_side=True)
        self.client = client.wrap_bio(two, one)

    def step(self) -> bool:
        """Both do what they can; whether both are through."""
        through = True
        for side in (self.client, self.server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                through = False
            if isinstance(self.context, PskContext) and self.context.heard is not None:
                self.heard, self.context.heard = self.context.heard, None
        return through

    def run(self) -> tuple[str, bytes] | None:
        for _ in range(8):
            if self.step():
                return self.heard
        raise AssertionError("the handshake did not end")


@needs_psk
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_right_key_is_a_handshake_and_tells_whose_it_was(version: ssl.TLSVersion) -> None:
    assert Handshake(psk_context(find), "meter", b"k" * 32, version).run() == ("meter", b"salt of meter")


@needs_psk
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("name", "key"), [("meter", b"l" * 32), ("nobody", b"k" * 32), ("x" * 100, b"k" * 32)]
)
def test_a_wrong_key_and_an_unknown_name_fail_alike(version: ssl.TLSVersion, name: str, key: bytes) -> None:
    with pytest.raises(ssl.SSLError) as failed:
        Handshake(psk_context(find), name, key, version).run()
    with pytest.raises(ssl.SSLError) as known:
        Handshake(psk_context(find), "meter", b"w" * 32, version).run()
    assert failed.value.reason == known.value.reason


@needs_psk
def test_handshakes_that_interleave_are_not_taken_for_each_other() -> None:
    context = psk_context(find)
    first = Handshake(context, "meter", b"k" * 32)
    second = Handshake(context, "lamp", b"l" * 32)
    while not all([first.step(), second.step()]):
        pass
    assert (first.heard, second.heard) == (("meter", b"salt of meter"), ("lamp", b"salt of lamp"))


@needs_psk
def test_a_client_without_a_key_gets_nowhere() -> None:
    one, two = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    plain = client.wrap_bio(two, one)
    server = psk_context(find).wrap_bio(one, two, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        plain.do_handshake()
    with pytest.raises(ssl.SSLError):
        server.do_handshake()
