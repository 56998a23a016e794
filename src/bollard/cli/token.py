"""Giving an enrollment string to its owner: as text, as a QR code on the terminal, and as an SVG file.

The string is a secret that passes through here once, to standard output or into files of mode 0600.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bollard.cli.output import day, say_json

if TYPE_CHECKING:
    from bollard.server.requests import Enrolled


def parse_life(text: str) -> float:
    """A duration as people write it; a usage error for what is none."""
    from bollard.server.units import parse_duration

    try:
        return parse_duration(int(text) if text.isdigit() else text)
    except ValueError as error:
        raise click.BadParameter(f"expected {error}", param_hint="--expires") from None


def hand_over_token(enrolled: "Enrolled", folder: Path | None, *, as_json: bool) -> None:
    """Print the string with its QR code; with `folder`, also write ID.txt and ID.svg there."""
    from bollard.identity.files import write_private

    files = {}
    if folder is not None:
        files = {"token_file": folder / f"{enrolled.id}.txt", "svg_file": folder / f"{enrolled.id}.svg"}
        write_private(files["token_file"], enrolled.token.encode() + b"\n")
        write_private(files["svg_file"], qr_svg(enrolled.token))
    if as_json:
        say_json(
            {
                "id": enrolled.id,
                "token": enrolled.token,
                "expires_at": enrolled.expires_at,
                "host": enrolled.host,
                "port": enrolled.port,
                "est_url": enrolled.est_url,
                "ca_file": enrolled.ca_file,
                **{name: str(path) for name, path in files.items()},
            }
        )
        return
    click.echo(_text(enrolled))
    click.echo(qr_terminal(enrolled.token))
    for path in files.values():
        click.echo(f"written: {path}")


def _text(enrolled: "Enrolled") -> str:
    lines = [
        f"{enrolled.id} may enroll once, until {day(enrolled.expires_at)} UTC, with template {enrolled.template}.",
        "The string is shown only now. On the device:",
        "",
        f"  bollard join '{enrolled.token}'",
    ]
    if enrolled.est_url:
        lines += [
            "",
            f"or by EST:  {enrolled.est_url}",
            f"  user name {enrolled.id}, password: the last 32 letters",
        ]
    return "\n".join(lines)


def qr_terminal(text: str) -> str:
    """A QR code of `text` in block characters, for a terminal of either colour."""
    import segno

    out = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(out, compact=True)
    return out.getvalue()


def qr_svg(text: str) -> bytes:
    """A QR code of `text` as an SVG document."""
    import segno

    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(out, kind="svg", scale=4, xmldecl=True)
    return out.getvalue()
