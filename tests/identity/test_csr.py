import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bollard.identity.csr import MAX_CSR_BYTES, check_key, read_csr
from bollard.identity.refusals import EnrollmentRefused

URN = "urn:uuid:00000000-0000-0000-0000-000000000001"


def csr(
    key: Any = None, names: tuple[str, ...] = ("plug",), *extensions: x509.ExtensionType
) -> x509.CertificateSigningRequest:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    key = key or ec.generate_private_key(ec.SECP256R1())
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def der(request: x509.CertificateSigningRequest) -> bytes:
    return request.public_bytes(serialization.Encoding.DER)


def refused(data: bytes, status: int = 400) -> str:
    with pytest.raises(EnrollmentRefused) as refusal:
        read_csr(data)
    assert refusal.value.status == status
    return refusal.value.text


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=["p-256", "p-384"])
def test_the_key_is_taken_and_known_by_its_hash(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    first, second = read_csr(der(csr(key))), read_csr(der(csr(key, ())))
    assert first.key == key.public_key()
    assert first.key_sha256 == second.key_sha256
    assert (first.common_name, second.common_name) == ("plug", "")


def test_rsa_2048_is_taken() -> None:
    key = rsa.generate_private_key(65537, 2048)
    assert read_csr(der(csr(key))).key == key.public_key()


@pytest.mark.parametrize("form", ["der", "base64", "lines", "pem", "pem with carriage returns"])
def test_every_form_that_clients_send_is_read(form: str) -> None:
    request = csr()
    pem = request.public_bytes(serialization.Encoding.PEM)
    data = {
        "der": der(request),
        "base64": base64.b64encode(der(request)),
        "lines": b"\n" + base64.encodebytes(der(request)).replace(b"\n", b"\r\n"),
        "pem": pem,
        "pem with carriage returns": pem.replace(b"\n", b"\r\n"),
    }[form]
    assert read_csr(data).key == request.public_key()


def test_every_beginning_of_a_request_is_refused_in_words() -> None:
    whole = der(csr())
    for end in range(len(whole)):
        assert refused(whole[:end]) == "this is not a certificate signing request"


def test_a_changed_byte_never_gives_another_key() -> None:
    request = csr()
    whole = der(request)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        with pytest.raises(EnrollmentRefused):
            read_csr(bytes(changed))


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"-----BEGIN ", b"-----BEGIN X-----\n-----END X-----", b"\xff" * 9]
)
def test_rubbish_is_refused(data: bytes) -> None:
    refused(data)


def test_more_than_a_request_can_be_is_not_parsed() -> None:
    assert str(MAX_CSR_BYTES) in refused(b"A" * (MAX_CSR_BYTES + 1), 413)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 1024),
        lambda: rsa.generate_private_key(3, 2048),
        lambda: ec.generate_private_key(ec.SECP521R1()),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate,
    ],
    ids=["rsa-1024", "exponent 3", "p-521", "secp256k1", "ed25519"],
)
def test_a_weak_or_unknown_key_is_refused_with_what_to_use(make: Any) -> None:
    assert "P-256" in refused(der(csr(make())))


def test_no_key_at_all_is_refused() -> None:
    with pytest.raises(EnrollmentRefused):
        check_key(None)


def test_a_request_to_become_an_authority_is_refused() -> None:
    assert "authority" in refused(der(csr(None, ("plug",), x509.BasicConstraints(True, None))))


def test_two_common_names_are_refused() -> None:
    assert "more than one" in refused(der(csr(None, ("plug", "admin"))))


def test_the_identitys_own_names_are_fine() -> None:
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(URN)])
    read_csr(der(csr(None, ("plug",), names))).check_names("plug", URN)
    read_csr(der(csr(None, ()))).check_names("plug", URN)


@pytest.mark.parametrize("name", ["admin", "PLUG", "plug ", "+", "#"])
def test_another_common_name_is_refused(name: str) -> None:
    with pytest.raises(EnrollmentRefused, match="must be 'plug'"):
        read_csr(der(csr(None, (name,)))).check_names("plug", URN)


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("broker.local"),
        x509.RFC822Name("root@example.com"),
        x509.UniformResourceIdentifier(URN[:-1] + "2"),
    ],
)
def test_another_alternative_name_is_refused(name: x509.GeneralName) -> None:
    request = read_csr(der(csr(None, ("plug",), x509.SubjectAlternativeName([name]))))
    with pytest.raises(EnrollmentRefused, match="alternative names"):
        request.check_names("plug", URN)
