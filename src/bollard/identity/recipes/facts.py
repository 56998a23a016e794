"""What recipes are filled with: names, credentials, and what is computed from them. Nothing is read here."""

import hashlib
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bollard.identity.recipes.render import Fact
from bollard.wire.codec import encode
from bollard.wire.connect import Connect

_P256_BYTES = 32


def connection_facts(identity: str, client_id: str, host: str, port: int) -> dict[str, Fact]:
    """Where to, and as whom."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        verify = f"-verify_ip {ip_address(host)}"
    except ValueError:
        verify = f"-verify_hostname {host} -servername {host}"
    return {
        "id": identity,
        "client_id": client_id,
        "host": host,
        "port": port,
        "host_port": place,
        "url": f"mqtts://{place}",
        "verify_option": verify,
        "prefix": f"devices/{identity}",
    }


def password_facts(client_id: str, username: str, password: str) -> dict[str, Fact]:
    """A password, and the CONNECT packet (3.1.1) that uses it."""
    connect = Connect(client_id=client_id, username=username, password=password.encode())
    return {"username": username, "password": password, "connect_packet": encode(connect, 4)}


def certificate_facts(client_id: str, chain_pem: str, key_pem: str) -> dict[str, Fact]:
    """A P-256 key with its certificate, in the forms that firmware wants."""
    leaf = x509.load_pem_x509_certificates(chain_pem.encode())[0]
    key = serialization.load_pem_private_key(key_pem.encode(), None)
    scalar = b""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        scalar = key.private_numbers().private_value.to_bytes(_P256_BYTES, "big")
    return {
        "chain_pem": chain_pem,
        "cert_pem": leaf.public_bytes(serialization.Encoding.PEM),
        "cert_der": leaf.public_bytes(serialization.Encoding.DER),
        "key_pem": key_pem,
        "key_scalar": scalar,
        "connect_packet": encode(Connect(client_id=client_id), 4),
    }


def server_facts(root_pem: str, server_rsa_pem: bytes) -> dict[str, Fact]:
    """Whom to trust: all roots together and those of each algorithm alone, and the fingerprint of the server's RSA
    key, where there is a chain with it (PEM) already."""
    found: dict[str, Fact] = {"root_pem": root_pem}
    if server_rsa_pem:
        leaf = x509.load_pem_x509_certificates(server_rsa_pem)[0]
        found["tasmota_fingerprint"] = tasmota_fingerprint(leaf.public_key())
    for root in x509.load_pem_x509_certificates(root_pem.encode()):
        elliptic = isinstance(root.public_key(), ec.EllipticCurvePublicKey)
        name = "root_ecdsa_pem" if elliptic else "root_rsa_pem"
        # Several of a kind while a root is being replaced.
        known = found.get(name, b"")
        assert isinstance(known, bytes)
        found[name] = known + root.public_bytes(serialization.Encoding.PEM)
    return found


def tasmota_fingerprint(key: object) -> str:
    """What Tasmota calls the fingerprint of an RSA key, second version: SHA-1 over the text "ssh-rsa", the
    exponent and the modulus, each behind its length in four bytes and without leading zeros."""
    if not isinstance(key, rsa.RSAPublicKey):
        return ""
    numbers = key.public_numbers()
    parts = [b"ssh-rsa", *(n.to_bytes((n.bit_length() + 7) // 8, "big") for n in (numbers.e, numbers.n))]
    data = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    # Not a choice of ours: it is the one thing that this firmware can compare.
    return hashlib.sha1(data, usedforsecurity=False).digest().hex(" ").upper()
