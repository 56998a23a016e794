"""EST takes the secret of a factory label, once, and nothing that the manifest shows."""

import hashlib
from pathlib import Path

from bollard.identity.factory import ensure_key, fingerprint, make_labels, write_manifest
from web.conftest import Device, Est


def test_a_factory_label_is_spent_over_est(est: Est, tmp_path: Path) -> None:
    (label,) = make_labels("EST", start=1, count=1)
    key, _ = ensure_key(tmp_path / "factory.key")
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(write_manifest([label], "device", key, now=1))
    told = est.broker.json("factory", "import", manifest, "--key-fingerprint", fingerprint(key.public_key()))
    assert told["added"] == 1
    assert told["est_url"].endswith("/.well-known/est")
    device = Device(tmp_path, label.identity)
    secret = label.secret.reveal().decode()
    csr = device.csr()
    shown = hashlib.sha256(secret.encode()).hexdigest()
    assert est.enroll(label.identity, shown, csr).status == 401
    assert b"BEGIN CERTIFICATE" in device.keep(est.enroll(label.identity, secret, csr))
    (tmp_path / "thief").mkdir()
    answer = est.enroll(label.identity, secret, Device(tmp_path / "thief", label.identity).csr())
    assert answer.status == 403
    assert b"another key" in answer.body
