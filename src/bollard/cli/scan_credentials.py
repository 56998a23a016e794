"""The credentials of `bollard scan`: read and checked before anything is sent, and what became of them.

A certificate, key or authority that cannot be used would let every probe fail that uses it, and a report would
look better than it is. So a file that is not what it should be ends the command.
"""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.cli.output import visible

if TYPE_CHECKING:
    from bollard.assess.model import Report
    from bollard.assess.probes.room import Identity

#: More than any certificate, key or bundle of authorities has; the rest of a file is not read.
MAX_PEM_BYTES = 4_194_304
#: As much of a password as a CONNECT can carry.
MAX_PASSWORD_BYTES = 65_535
_CERTIFICATE, _KEY = b"-----BEGIN CERTIFICATE-----", b"PRIVATE KEY-----"
_A_CERTIFICATE = "Expected is a certificate in PEM, which begins with -----BEGIN CERTIFICATE-----."
_A_KEY = "Expected is a private key in PEM, such as -----BEGIN PRIVATE KEY-----."


def identities(options: dict[str, Any]) -> "tuple[Identity, ...]":
    """The identities that the options name. Raises `click.UsageError` or `LocalError` for what cannot be used."""
    from bollard.assess.probes.room import Identity

    _refuse_half(options)
    found = []
    if options["username"] or options["cert_file"]:
        found.append(
            Identity(
                label=options["username"] or "the certificate's identity",
                username=options["username"],
                password=_password("--password-file", options["password_file"]),
                cert_file=options["cert_file"],
                key_file=options["key_file"],
            )
        )
    if options["second_username"]:
        if not found or options["second_username"] == options["username"]:
            raise click.UsageError("--second-username needs another --username beside it.")
        found.append(
            Identity(
                label=options["second_username"],
                username=options["second_username"],
                password=_password("--second-password-file", options["second_password_file"]),
                cert_file=options["cert_file"],
                key_file=options["key_file"],
            )
        )
    if options["cert_file"]:
        exposed = options["allow_exposed_password"]
        proven = any(each.password is not None for each in found) and not exposed
        _check_pair(options["cert_file"], options["key_file"], strict=proven)
    if options["ca_file"]:
        _check_authority(options["ca_file"])
    return tuple(found)


def refused(report: "Report") -> bool:
    """Were credentials given, and let in nowhere? Then say so on standard error, with every listener's answer."""
    from bollard.assess import given

    if not given.let_in_nowhere(report):
        return False
    count = given.left_out(report.results)
    click.echo(
        f"None of the given credentials was let in anywhere; {given.checks(count)} left out for it. The grade "
        "tells only what was seen without them.",
        err=True,
    )
    for each in given.notes(report):
        click.echo(f"  {visible(each)}", err=True)
    return True


def _refuse_half(options: dict[str, Any]) -> None:
    for option, needed in (
        ("password_file", "username"),
        ("second_password_file", "second_username"),
    ):
        if options[option] and not options[needed]:
            raise click.UsageError(f"--{option.replace('_', '-')} needs --{needed.replace('_', '-')}.")
    if options["key_file"] and not options["cert_file"]:
        raise click.UsageError("--key needs --cert.")


def _password(option: str, path: Path | None) -> Secret | None:
    """The first line of the file. Raises `click.UsageError` for an empty or endless one."""
    if path is None:
        return None
    line = _read(path, MAX_PASSWORD_BYTES + 3).partition(b"\n")[0].rstrip(b"\r")
    if not line:
        raise click.UsageError(
            f"{option}: the first line of {visible(str(path))} is empty. Write the password there."
        )
    if len(line) > MAX_PASSWORD_BYTES:
        raise click.UsageError(
            f"{option}: the first line of {visible(str(path))} is too long for a password."
        )
    return Secret(line)


def _check_pair(cert: Path, key: Path | None, *, strict: bool) -> None:
    """Raise unless both can be loaded as the probes will load them: `strict` where a password is at stake."""
    text = _read(cert, MAX_PEM_BYTES)
    if _CERTIFICATE not in text:
        raise LocalError(f"--cert: {visible(str(cert))} holds no certificate", _A_CERTIFICATE)
    if key is None and _KEY not in text:
        raise click.UsageError(
            f"--cert: {visible(str(cert))} holds no private key, so --key is needed: the file of the key (PEM)."
        )
    place = f"--key: {visible(str(key))}" if key is not None else f"--cert: {visible(str(cert))}"
    secret = _read(key, MAX_PEM_BYTES) if key is not None else text
    if _KEY not in secret:
        raise LocalError(f"{place} holds no private key", _A_KEY)
    if b"ENCRYPTED" in secret:
        raise LocalError(
            f"{place}: the key is locked with a pass phrase",
            "Expected is one without; openssl pkey -in LOCKED -out OPEN writes it.",
        )
    _load_pair(cert, key, strict=strict)


def _load_pair(cert: Path, key: Path | None, *, strict: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not strict:
        context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        context.load_cert_chain(cert, key, password="")  # "": never ask at the terminal
    except ssl.SSLError as error:
        names = visible(f"{cert} and {key}" if key is not None else str(cert))
        if error.reason == "KEY_VALUES_MISMATCH":
            raise LocalError(
                f"--cert, --key: {names} do not belong together", "Name the key that the certificate is for."
            ) from None
        raise LocalError(
            f"--cert, --key: {names} cannot be used ({error.reason or 'damaged'})",
            "Expected are a whole certificate and its private key in PEM.",
        ) from None


def _check_authority(path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _read(path, 1)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise LocalError(f"--ca-file: {visible(str(path))} holds no certificate", _A_CERTIFICATE) from None
    if not context.cert_store_stats()["x509"]:
        raise LocalError(f"--ca-file: {visible(str(path))} holds no certificate", _A_CERTIFICATE)


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise LocalError(
            f"cannot read {visible(str(path))}: {error.strerror}", "Check the path and its rights."
        ) from None
