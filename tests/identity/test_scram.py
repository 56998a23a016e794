"""The arithmetic against the example of RFC 7677, and messages that are not what they should be."""

import base64

import pytest

from bollard.identity import scram

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
WITHOUT_PROOF = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
TEXT = scram.signed_text("n=user,r=rOprNGfwEbeRWgbNEkqO", SERVER_FIRST.decode(), WITHOUT_PROOF)
PROOF = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
SIGNATURE = base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@pytest.fixture(scope="module")
def keys() -> scram.ClientKeys:
    return scram.derive(b"pencil", SALT, 4096)


def test_the_proof_of_the_rfcs_example_is_made(keys: scram.ClientKeys) -> None:
    assert scram.proof(keys.client_key, TEXT) == PROOF


def test_the_signature_of_the_rfcs_example_is_made(keys: scram.ClientKeys) -> None:
    assert scram.signature(keys.server_key, TEXT) == SIGNATURE


def test_the_servers_keys_check_a_proof_and_nothing_else(keys: scram.ClientKeys) -> None:
    stored = scram.keys_for_server(keys, SALT, 4096)
    assert scram.proves(stored, TEXT, PROOF)
    assert not scram.proves(stored, TEXT + "x", PROOF)
    assert not scram.proves(stored, TEXT, bytes(32))
    assert not scram.proves(stored, TEXT, PROOF[:31])
    assert not scram.proves(stored, TEXT, b"")


def test_keys_do_not_show(keys: scram.ClientKeys) -> None:
    stored = scram.keys_for_server(keys, SALT, 4096)
    for shown in (repr(keys), repr(stored)):
        assert "key=" not in shown
        assert keys.client_key.hex() not in shown


def test_a_client_first_message_is_taken_apart() -> None:
    first = scram.read_client_first(b"p=tls-server-end-point,a=x,n=a=2Cb=3Dc,r=abc")
    assert first == scram.ClientFirst(
        "tls-server-end-point", "x", "a,b=c", "abc", "p=tls-server-end-point,a=x,", "n=a=2Cb=3Dc,r=abc"
    )


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n,,",
        b"n,,n=,r=abc",
        b"n,,n=plug,r=",
        b"n,,r=abc,n=plug",
        b"n,,m=ext,n=plug,r=abc",
        b"n,,n=plug,r=abc,x=extension",
        b"x,,n=plug,r=abc",
        b"n,b=x,n=plug,r=abc",
        b"n,,n=a=b,r=abc",
        b"n,,n=plug,r=ab\x00c",
        b"n,,n=plug,r=\xc3\xa4",
        b"n,,n=\xff,r=abc",
        b"n,,n=" + b"a" * 3000 + b",r=abc",
    ],
)
def test_what_is_no_client_first_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        scram.read_client_first(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"c=biws,r=abc",
        b"c=biws,r=abc,p=***",
        b"c=biws,p=AAAA,r=abc",
        b"r=abc,c=biws,p=AAAA",
        b"c=bi ws,r=abc,p=AAAA",
        b"c=biws,r=abc,x=y,p=AAAA",
    ],
)
def test_what_is_no_client_final_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        scram.read_client_final(message)


@pytest.mark.parametrize(
    "message",
    [b"", b"r=abc,s=AAAA", b"r=abc,s=AAAA,i=x", b"r=abc,s=AAAA,i=-1", b"e=other-error"],
)
def test_what_is_no_challenge_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        scram.read_server_first(message)


@pytest.mark.parametrize("iterations", [1, 4095, 200_001, 9_999_999])
def test_a_challenge_with_too_little_or_too_much_work_is_refused(iterations: int) -> None:
    with pytest.raises(ValueError, match="iteration count"):
        scram.read_server_first(f"r=abc,s=AAAA,i={iterations}".encode())


@pytest.mark.parametrize("message", [b"", b"e=invalid-proof", b"x=AAAA"])
def test_what_is_no_signature_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        scram.read_server_final(message)
