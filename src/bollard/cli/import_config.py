"""`bollard import`: another broker's setup becomes ours, and what that means is said in sentences."""

import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bollard.base.errors import ConfigError, LocalError
from bollard.cli.output import say_json, visible
from bollard.cli.target import json_option

if TYPE_CHECKING:
    from bollard.assess.configs.adoption import Adoption

_CONFIG, _POLICY, _REPORT = "bollard.toml", "policy.toml", "IMPORT.md"
_HEADS = {"safer": "What got safer", "changed": "What is different", "by hand": "What needs a hand"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("bollard-import"),
    show_default=True,
    help="Make this folder, with configuration, policy and report.",
)
@click.option("--version", "version", type=click.Choice(["2.0", "2.1"]), help="Mosquitto's version.")
@click.option(
    "--no-passwords", is_flag=True, help="Carry no passwords over: everybody gets a new credential."
)
@json_option
def command(file: Path, out: Path, version: str | None, no_passwords: bool, as_json: bool) -> None:
    """Turn a Mosquitto configuration into Bollard's.

    Reads FILE and what it names: includes, ACL, passwords, pre-shared keys, dynamic security. Makes a folder with
    bollard.toml, policy.toml and a report: what got safer, what is different, what needs a hand. Both files are
    checked before they are written. Passwords whose hashes can be checked here are carried over, until their next
    rotation; then the folder has a registry and authorities too. Ends with 1 if parts of FILE were not understood; the report lists them.

    \b
    Example:  bollard import /etc/mosquitto/mosquitto.conf --out ./bollard
              bollard up --dir ./bollard
    """
    from bollard.assess.configs.mosquitto_adopt import adopt
    from bollard.assess.configs.source import read_text
    from bollard.identity.files import write_private_directory
    from bollard.server.carry_over import carry_over

    text, reason = read_text(file)
    if text is None:
        raise LocalError(f"{file}: {reason}", "Name a mosquitto.conf.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise LocalError(f"{out} exists already", "Name another folder with --out; nothing was written.")
    adoption = adopt(file, version or "", passwords=not no_passwords)
    if adoption.foreign is not None:
        raise LocalError(
            f"{file}: this is no mosquitto.conf: line {adoption.foreign.line} is no directive, and no other line is one",
            "Name the main file, often /etc/mosquitto/mosquitto.conf: it names the ACL and password files. Nothing was written.",
        )
    check(adoption)
    report = report_text(adoption, out)
    files = {_CONFIG: adoption.config, _POLICY: adoption.policy, _REPORT: report}
    contents = {name: each.encode() for name, each in files.items()}
    if adoption.carried:
        carry_over(out, contents, [(each.identity, each.stored) for each in adoption.carried])
    else:
        write_private_directory(out, contents)
    if as_json:
        say_json(as_object(adoption, out))
    else:
        click.echo(report, nl=False)
    if adoption.unread:
        raise click.exceptions.Exit(1)


def check(adoption: "Adoption") -> None:
    """Let our own loaders judge what was made. Raises LocalError if they refuse it."""
    from bollard.policy.rules import parse_policy
    from bollard.server.load import load_config

    with tempfile.TemporaryDirectory(prefix="bollard-import-") as name:
        folder = Path(name)
        (folder / _CONFIG).write_text(adoption.config, encoding="utf-8")
        (folder / _POLICY).write_text(adoption.policy, encoding="utf-8")
        try:
            parse_policy(load_config(folder / _CONFIG).policy)
        except ConfigError as error:
            raise LocalError(
                f"what became of {adoption.source} is not valid ({Path(error.file).name}: {error.message})",
                "Nothing was written. Take that part out of a copy of the file, and import the copy.",
            ) from None


def report_text(adoption: "Adoption", out: Path) -> str:
    """The report, for people."""
    lines = [f"# Import of {adoption.source} (Mosquitto {adoption.version})", ""]
    for kind, head in _HEADS.items():
        notes = [note for note in adoption.notes if note.kind == kind]
        if notes:
            lines += [f"## {head}", ""]
            lines += [f"- {note.text}" + (f" ({note.place})" if note.place.file else "") for note in notes]
            lines.append("")
    if adoption.unread:
        lines += ["## What was not understood, and so not carried over", ""]
        lines += [f"- {each}" for each in adoption.unread] + [""]
    lines += _next_steps(adoption, out)
    return "\n".join(visible(line) for line in lines) + "\n"


def _next_steps(adoption: "Adoption", out: Path) -> list[str]:
    folder = shlex.quote(str(out))
    lines = ["## Next", "", f"Start it: bollard up --dir {folder}", ""]
    if adoption.carried:
        lines += ["Move ca/server-root-recovery.txt off this machine, to a safe place.", ""]
        lines += ["These keep their passwords until you rotate them (bollard devices rotate NAME):", ""]
        lines += [f"    {each.identity}" for each in adoption.carried] + [""]
    new = [each for each in adoption.enrolments if not each.stored]
    if new:
        others = "everybody else" if adoption.carried else "everybody"
        lines += [f"Give {others} a new credential; each is shown once:", ""]
        lines += [f"    {enroll_command(each.identity, each.credential, folder)}" for each in new]
        reasons = sorted({each.reason for each in new})
        lines += ["", "Why: " + "; ".join(reasons) + "."]
    return lines


def enroll_command(identity: str, credential: str, folder: str) -> str:
    """What to type to enroll `identity`. `folder` is quoted for a shell."""
    return f"bollard enroll {identity} --{credential} --dir {folder}"


def as_object(adoption: "Adoption", out: Path) -> dict[str, object]:
    """The outcome for scripts."""
    folder = shlex.quote(str(out))
    return {
        "source": adoption.source,
        "version": adoption.version,
        "config": str(out / _CONFIG),
        "policy": str(out / _POLICY),
        "report": str(out / _REPORT),
        "notes": [
            {"kind": n.kind, "text": n.text, "file": n.place.file, "line": n.place.line}
            for n in adoption.notes
        ],
        "unread": [
            {"file": u.place.file, "line": u.place.line, "text": u.text, "reason": u.reason}
            for u in adoption.unread
        ],
        "enroll": [
            {
                "id": each.identity,
                "user": each.user,
                "reason": each.reason,
                "command": enroll_command(each.identity, each.credential, folder),
            }
            for each in adoption.enrolments
            if not each.stored
        ],
        "carried": [each.identity for each in adoption.carried],
    }
