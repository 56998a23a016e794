"""Runs `async def` tests on both event loops, and mints certificates."""

import asyncio
import inspect
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from bollard.net.loop import new_event_loop
from bollard.net.tls import CertificateFiles, server_context

LOOPS = {"asyncio": asyncio.new_event_loop, "bollard": new_event_loop}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if inspect.iscoroutinefunction(metafunc.function):
        metafunc.fixturenames.append("loop_factory")
        metafunc.parametrize("loop_factory", LOOPS.values(), ids=LOOPS.keys())


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(function).parameters}
    factory: Callable[[], asyncio.AbstractEventLoop] = pyfuncitem.callspec.params["loop_factory"]
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(function(**arguments))
    return True


@dataclass(frozen=True)
class Certificates:
    """What a server and its clients need, in files."""

    folder: Path
    authority: trustme.CA
    devices: trustme.CA
    ecdsa: CertificateFiles
    rsa: CertificateFiles

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"

    @property
    def device_root(self) -> Path:
        return self.folder / "devices.pem"

    def server(self, transport: str = "tls") -> ssl.SSLContext:
        return server_context([self.ecdsa, self.rsa], client_ca=self.device_root, transport=transport)

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.root)

    def device(self, name: str, authority: trustme.CA | None = None) -> ssl.SSLContext:
        """A client that presents a certificate of `authority`, else of the device authority."""
        context = self.client()
        (authority or self.devices).issue_cert(f"{name}@device.test").configure_cert(context)
        return context


def mint(authority: trustme.CA, folder: Path, name: str, kind: trustme.KeyType) -> CertificateFiles:
    leaf = authority.issue_cert("127.0.0.1", "localhost", key_type=kind)
    files = CertificateFiles(folder / f"{name}.crt", folder / f"{name}.key")
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(files.chain, append=True)
    leaf.private_key_pem.write_to_path(files.key)
    return files


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority, devices = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "root.pem")
    devices.cert_pem.write_to_path(folder / "devices.pem")
    return Certificates(
        folder,
        authority,
        devices,
        mint(authority, folder, "ecdsa", trustme.KeyType.ECDSA),
        mint(authority, folder, "rsa", trustme.KeyType.RSA),
    )
