"""`bollard join`: a Linux device gets its certificate with an enrollment string, and renews it by a timer.

    ID.key  ID.crt  server-root.crt  ID.json     what clients use; ID.json is for `bollard sub --settings`
    ID.next.key  ID.next.crt                     a renewal under way; both take their places together

Each time it connects, it asks which server roots it is to trust (`client.kept_roots`): so it has those that
are to follow before the server shows them.

Everything is 0600. The key is made here and never leaves; it is on disk before anybody hears of it, so a
power cut at any moment leaves something that the same command finishes.
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.base.errors import LocalError
from bollard.cli.output import day, say_json, visible
from bollard.cli.target import json_option
from bollard.cli.values import Port
from bollard.wire.spec import ReasonCode

if TYPE_CHECKING:
    from cryptography import x509

    from bollard.client import Client, ClientError
    from bollard.client.enroll import Answer
    from bollard.identity.profile import PrivateKey
    from bollard.identity.tokens import EnrollmentString

STRING_VARIABLE = "BOLLARD_JOIN"
#: What a server answers to a certificate that will never count again, or not until a person has done something.
_SHUT_OUT = frozenset({ReasonCode.BAD_USER_NAME_OR_PASSWORD, ReasonCode.NOT_AUTHORIZED, ReasonCode.BANNED})


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the files of one device lie."""

    path: Path
    identity: str

    def file(self, ending: str) -> Path:
        return self.path / f"{self.identity}.{ending}"

    @property
    def root(self) -> Path:
        return self.path / "server-root.crt"


@click.command()
@click.argument("string", required=False)
@click.option("--host", help="With the text of a factory label: the broker.")
@click.option("--port", type=Port(), default=8883, show_default=True, help="With a label.")
@click.option(
    "--pin", help="With a label: the pin that `bollard factory import` printed, or several with commas."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for key and certificate.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="Seconds to wait for the owner's approval.",
)
@click.option(
    "--renew", type=click.Path(path_type=Path), help="Renew the certificate in this folder, if due."
)
@click.option("--now", "at_once", is_flag=True, help="With --renew: even if it is not due.")
@json_option
def command(
    string: str | None,
    host: str | None,
    port: int,
    pin: str | None,
    out: Path | None,
    wait: float,
    renew: Path | None,
    at_once: bool,
    as_json: bool,
) -> None:
    """Join a broker with an enrollment string.

    STRING is what `bollard enroll ID --token` printed, or the text of a factory label; `-` reads it from standard input, and without it the
    variable BOLLARD_JOIN is taken. The server is recognized by the pin in the string, before anything
    secret is sent. The key is made here.

    \b
    Example:  bollard join BOL1:broker.local:8883#...
              bollard join BOLF1:... --host broker.local --pin PIN
              bollard join --renew ~/.config/bollard/plug
    """
    if renew is not None:
        if string is not None:
            raise click.UsageError("--renew needs no string: it uses the certificate that is there.")
        _say(asyncio.run(_renew(_existing(renew), at_once=at_once)), as_json)
        return
    text = sys.stdin.readline() if string == "-" else string or os.environ.get(STRING_VARIABLE, "")
    if not text:
        raise click.UsageError("Give the enrollment string, or - to read it from standard input.")
    parsed = _read(text, host, port, pin)
    _say(asyncio.run(_join(parsed, _new_folder(out, parsed.identity), wait)), as_json)


def _read(text: str, host: str | None, port: int, pin: str | None) -> "EnrollmentString":
    """The string, or the label with what is not on it."""
    from bollard.identity.factory import LABEL_PREFIX, read_label
    from bollard.identity.tokens import read_enrollment_string

    if text.strip().startswith(LABEL_PREFIX):
        if host is None or pin is None:
            raise click.UsageError("A label needs --host and --pin: `bollard factory import` printed them.")
        return read_label(text).at_server(host, port, pin)
    if host is not None or pin is not None:
        raise click.UsageError("--host and --pin are for labels: an enrollment string has its own.")
    return read_enrollment_string(text)


def _new_folder(out: Path | None, identity: str) -> Folder:
    from bollard.identity.files import make_private_directory

    if out is None:
        base = os.environ.get("XDG_CONFIG_HOME")
        home = Path("/etc") if os.geteuid() == 0 else Path(base or Path.home() / ".config")
        out = home / "bollard" / identity
    folder = Folder(out.absolute(), identity)
    make_private_directory(folder.path)
    if folder.file("crt").exists():
        raise LocalError(
            f"{folder.path} has a certificate of {identity!r} already",
            f"`bollard join --renew {folder.path}` renews it; move it away to join anew.",
        )
    return folder


def _existing(path: Path) -> Folder:
    """The folder that an earlier `join` filled; its settings file names the identity."""
    found = sorted(path.glob("*.json"))
    if len(found) != 1:
        raise LocalError(f"{path} is not a folder that `bollard join` has filled", "Name it, or join first.")
    return Folder(path.absolute(), found[0].stem)


# --- joining -----------------------------------------------------------------------------------------


async def _join(string: "EnrollmentString", folder: Folder, wait: float) -> dict[str, Any]:
    from bollard.client import Client
    from bollard.client.enroll import fetch_root, make_csr
    from bollard.identity.files import write_private

    root = await fetch_root(string)
    write_private(folder.root, _pem(root))
    key = _key(folder.file("key"))
    csr = make_csr(key, string.identity)
    end = time.monotonic() + wait
    while True:
        client = Client(
            string.host,
            string.port,
            ca_file=folder.root,
            username=string.identity,
            password=string.secret,
        )
        answer = await _ask(client, folder, csr)
        if answer.status == "issued":
            return _keep(folder, folder.file("crt"), key, answer)
        _give_up_or_wait(answer, end)
        await asyncio.sleep(min(answer.retry_s, max(0.0, end - time.monotonic())))


async def _ask(client: "Client", folder: Folder, csr: bytes) -> "Answer":
    from bollard.client.enroll import ask

    async with client:
        await _keep_roots(client, folder)
        return await ask(client, folder.identity, csr)


async def _keep_roots(client: "Client", folder: Folder) -> bool:
    """Whether the file of roots was replaced by what the server says; an old server says nothing."""
    from bollard.client import ClientError, ServerNotTrusted
    from bollard.client.kept_roots import keep_roots

    try:
        return await keep_roots(client, folder.identity, folder.root)
    except ServerNotTrusted:
        raise
    except ClientError as error:
        click.echo(f"the server did not say which roots to trust: {visible(error.message)}", err=True)
        return False


def _give_up_or_wait(answer: "Answer", end: float) -> None:
    """Say what is waited for; raise if waiting is vain or its time is over."""
    if answer.status != "waiting":
        raise LocalError(f"the server refused: {visible(answer.reason)}")
    if time.monotonic() >= end:
        raise LocalError(
            "the owner has not approved this device in time",
            "Run the same command again, while the enrollment string is valid.",
        )
    click.echo(f"waiting for approval; this device's key is {visible(answer.key)}", err=True)


# --- renewing ----------------------------------------------------------------------------------------


async def _renew(folder: Folder, *, at_once: bool) -> dict[str, Any]:
    from bollard.client.enroll import make_csr
    from bollard.identity.renewal import renew_at

    _promote(folder)
    settings = _settings(folder)
    leaf = _certificate(folder.file("crt"))
    due = renew_at(leaf)
    if time.time() < due and not at_once:
        changed = await _look_for_roots(folder, settings)
        return {"id": folder.identity, "renewed": False, "due": int(due), "new_roots": changed}
    key = _key(folder.file("next.key"))
    answer = await _ask_with_old(folder, settings, leaf, make_csr(key, folder.identity))
    if answer.status != "issued":
        raise LocalError(f"the server refused: {visible(answer.reason)}")
    done = _keep(folder, folder.file("next.crt"), key, answer)
    _promote(folder)
    return {**done, "renewed": True}


async def _look_for_roots(folder: Folder, settings: dict[str, Any]) -> bool:
    """Ask for the roots though no renewal is due. Whether others are trusted now; no server is no failure.

    Raises ClientError for a server that does not let us in: waiting until the certificate is due would help
    nobody.
    """
    from bollard.client import ClientError, ConnectRefused, ServerDisconnected, ServerNotTrusted

    client = _with_certificate(folder, settings)
    try:
        async with client:
            return await _keep_roots(client, folder)
    except ServerNotTrusted:
        raise
    except (ConnectRefused, ServerDisconnected) as error:
        if error.code in _SHUT_OUT:
            raise _shut_out(folder, error) from error
        click.echo(f"the server was not asked which roots to trust: {visible(error.message)}", err=True)
        return False
    except ClientError as error:
        click.echo(f"the server was not asked which roots to trust: {visible(error.message)}", err=True)
        return False


def _shut_out(folder: Folder, error: "ClientError") -> "ClientError":
    from bollard.client import ClientError

    return ClientError(
        f"the certificate of {folder.identity} is not due, but does not count any more: {visible(error.message)}",
        "It was revoked, suspended or replaced. Ask the owner: if it is revoked or replaced, for a new string.",
    )


def _with_certificate(folder: Folder, settings: dict[str, Any]) -> "Client":
    from bollard.client import Client

    return Client(
        settings["host"],
        settings["port"],
        ca_file=folder.root,
        cert_file=folder.file("crt"),
        key_file=folder.file("key"),
    )


async def _ask_with_old(
    folder: Folder, settings: dict[str, Any], leaf: "x509.Certificate", csr: bytes
) -> "Answer":
    """Ask over TLS with the certificate while it is valid, else by the proof of its key."""
    from cryptography.hazmat.primitives import serialization

    from bollard.client import Client, ClientError, ServerNotTrusted
    from bollard.client.enroll import ProveKey
    from bollard.identity.keys import read_key

    host, port = settings["host"], settings["port"]
    if time.time() < leaf.not_valid_after_utc.timestamp():
        try:
            return await _ask(_with_certificate(folder, settings), folder, csr)
        except ServerNotTrusted:
            raise
        except ClientError as error:
            # Replaced long ago, or the server's clock says that it has expired: the key may still count.
            click.echo(f"{visible(error.message)}; proving the key instead", err=True)
    proof = ProveKey(
        leaf.public_bytes(serialization.Encoding.DER),
        read_key(folder.file("key")),
    )
    client = Client(host, port, ca_file=folder.root, authentication=proof)
    return await _ask(client, folder, csr)


def _promote(folder: Folder) -> None:
    """Put a finished renewal in its place; also one that was interrupted here."""
    if not folder.file("next.crt").exists():
        return
    if folder.file("next.key").exists():
        folder.file("next.key").replace(folder.file("key"))
    folder.file("next.crt").replace(folder.file("crt"))


# --- files -------------------------------------------------------------------------------------------


def _key(path: Path) -> "PrivateKey":
    """The key at `path`, made now if there is none: an attempt that was cut off goes on with its key."""
    from bollard.identity.files import write_private
    from bollard.identity.keys import pem_key, read_key
    from bollard.identity.profile import new_ec_key

    if not path.exists():
        write_private(path, pem_key(new_ec_key()))
    return read_key(path)


def _keep(folder: Folder, crt: Path, key: "PrivateKey", answer: "Answer") -> dict[str, Any]:
    """Write what was issued, and give what scripts want to know."""
    from bollard.client.enroll import leaf_of
    from bollard.identity.files import write_private

    leaf = leaf_of(answer.certificate, key)
    settings = {
        "id": folder.identity,
        "client_id": folder.identity,
        "host": answer.host,
        "port": answer.port,
        "cert_file": str(folder.file("crt")),
        "key_file": str(folder.file("key")),
        "ca_file": str(folder.root),
    }
    write_private(folder.file("json"), json.dumps(settings, indent=2).encode() + b"\n")
    write_private(crt, answer.certificate.encode("ascii"))
    _check_clock(leaf)
    return {**settings, "not_after": int(leaf.not_valid_after_utc.timestamp())}


def _check_clock(leaf: "x509.Certificate") -> None:
    """A certificate that is not valid by our own clock means that the clock is wrong."""
    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        click.echo(
            f"The clock of this machine says {now:%Y-%m-%d %H:%M} UTC, but the new certificate is valid from"
            f" {leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}: set the clock.",
            err=True,
        )


def _certificate(path: Path) -> "x509.Certificate":
    from cryptography import x509

    from bollard.identity.files import read_private

    try:
        return x509.load_pem_x509_certificate(read_private(path))
    except ValueError:
        raise LocalError(f"{path} is not a certificate", "Join again with a new enrollment string.") from None


def _settings(folder: Folder) -> dict[str, Any]:
    from bollard.cli.remote import read_settings

    settings = read_settings(folder.file("json"))
    if not {"host", "port"} <= settings.keys():
        raise LocalError(f"{folder.file('json')} does not say where the server is", "Join again.")
    return settings


def _pem(der: bytes) -> bytes:
    from cryptography import x509

    from bollard.identity.authority import pem

    return pem(x509.load_der_x509_certificate(der))


def _say(done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(done)
        return
    if not done.get("renewed", True):
        click.echo(f"The certificate of {done['id']} is not due before {day(done['due'])} UTC.")
        if done["new_roots"]:
            click.echo("The server named other roots to trust; server-root.crt has them now.")
        return
    click.echo(f"{done['id']} has a certificate, valid until {day(done['not_after'])} UTC.")
    click.echo(f"Connect:  bollard sub --settings {Path(done['cert_file']).with_suffix('.json')} -t TOPIC")
