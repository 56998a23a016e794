"""`bollard scan`: assess a broker from outside, within what its owner has allowed."""

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.base.errors import LocalError
from bollard.cli.reporting import NOTHING_TESTED, conclude, refuse_unknown, report_options
from bollard.cli.scan_credentials import identities, refused

if TYPE_CHECKING:
    from bollard.assess.model import Report
    from bollard.assess.plan import HostReport, Settings
    from bollard.assess.scope import Consent, Place

FILE = click.Path(path_type=Path, dir_okay=False)
#: What a scan's checks are about.
SUBJECTS = ("listener", "host")
READABLE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option("--json", "as_json", is_flag=True, help="Print the canonical report (JSON).")
@click.option("--active", is_flag=True, help="Also publish canaries, in a random namespace of its own.")
@click.option(
    "--only", multiple=True, metavar="CHECK", help="Make only this check, such as SCN-04; repeatable."
)
@click.option("-u", "--username", help="Look around as this user, too.")
@click.option("--password-file", type=READABLE, help="Its password: the first line of this file.")
@click.option("--second-username", help="Another user, to test what one may do to the other.")
@click.option("--second-password-file", type=READABLE)
@click.option("--own-topic", default="", help="Where the first user may publish and the second may not read.")
@click.option("--shared-topic", default="", help="Where both users may publish and subscribe.")
@click.option(
    "--revoke-command", metavar="COMMAND", help="Revokes the second user, to test what outlives it. No shell."
)
@click.option("--cert", "cert_file", type=READABLE, help="Our own client certificate (PEM).")
@click.option(
    "--key", "key_file", type=READABLE, help="Its key (PEM); left out if the file of --cert holds it."
)
@click.option("--ca-file", type=READABLE, help="The authority that the devices trust (PEM).")
@click.option("--server-name", default="", help="The name to look for in the server's certificate.")
@click.option("--expect-mtls", is_flag=True, help="Clients are meant to need a certificate: test that.")
@click.option("--intrusive", is_flag=True, help="Also strain it: up to 50 connections. Needs a signed scope.")
@click.option("--ceiling", type=click.IntRange(1, 49), help="The most connections one address should get.")
@click.option(
    "--allow-exposed-password", is_flag=True, help="Send passwords even where others can read them."
)
@click.option("--scope", "scope_file", type=READABLE, help="Who allows what, until when (TOML).")
@click.option("--owner-key", type=READABLE, help="The key that signed the scope file: bollard scope.")
@click.option("--i-am-authorized", "authorized", is_flag=True, help="The owner of the targets has agreed.")
@click.option("--i-own-this-network", "own_network", is_flag=True, help="For private addresses of your own.")
@click.option(
    "--allow-public", "public", is_flag=True, help="For public addresses that the scope file names."
)
@click.option("--resume", type=FILE, help="Keep the state of a long scan here, and go on from it.")
@report_options
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 1000),
    default=5.0,
    show_default=True,
    help="Packets and connections a second.",
)
@click.option(
    "--timeout", type=click.FloatRange(0.2, 60), default=5.0, show_default=True, help="For an answer, s."
)
@click.option("--listen", type=click.FloatRange(0, 60), default=5.0, show_default=True, help="To others, s.")
@click.option(
    "--patience",
    type=click.FloatRange(0, 120),
    default=35.0,
    show_default=True,
    help="To watch idle connections, s.",
)
def command(targets: tuple[str, ...], **options: Any) -> int:
    """Assess the broker at each TARGET from outside.

    TARGET is a host (all usual ports), host:port, a URL of mqtt://, mqtts://, ws:// or wss://, or a network such
    as 192.0.2.0/28.

    \b
    Example:
      bollard scan localhost:1883
      bollard scan mqtts://broker.local:8883 --ca-file root.crt --i-own-this-network -o report.html

    This machine may always be scanned; anything else needs permission. Without --active nothing is published.
    Exit code: 1 if an open problem is as severe as --fail-on, 2 if nothing could be looked at or no check gave
    an answer, or if credentials were given and none of them was let in anywhere.
    """
    import asyncio

    from bollard.assess import plan
    from bollard.assess.scope import authorize, parse_target

    started = datetime.now(UTC)
    consent = _consent(options)
    places = [place for target in targets for place in parse_target(target)]
    authorize(places, consent, started.date())
    settings = _settings(options)
    state = _State(options["resume"], settings, started, _authorization(consent, places))
    progress = _Progress(sys.stderr.isatty(), plan.hosts_of(places), len(state.done))
    try:
        asyncio.run(
            plan.scan(
                places,
                settings,
                progress,
                done=state.done,
                finished=lambda host: progress.count(state.add(host)),
            )
        )
    except KeyboardInterrupt:
        progress.end()
        click.echo(state.interrupted(), err=True)
        raise
    progress.end()
    report = state.report(complete=True)
    state.save(report)
    report, code = conclude(report, options)
    return NOTHING_TESTED if not report.targets or refused(report) else code


class _State:
    """What is through so far; in a file, if one was named, so that an interrupted scan can go on."""

    def __init__(
        self, path: Path | None, settings: "Settings", started: datetime, authorization: dict[str, Any]
    ) -> None:
        from bollard.assess.plan import described
        from bollard.assess.report import canonical

        self._path, self._settings, self._started = path, settings, started
        self._authorization = authorization
        self._hosts: list[HostReport] = []
        self._earlier = canonical.read(path) if path is not None and path.exists() else None
        if self._earlier is not None and self._earlier.settings != described(settings):
            raise LocalError(
                f"{path} is the state of a scan with other settings",
                "Repeat the command as it was, or name another file with --resume.",
            )

    @property
    def done(self) -> tuple[str, ...]:
        return self._earlier.done if self._earlier is not None else ()

    def add(self, host: "HostReport") -> int:
        """Keep what was found about one host. Returns how many are through."""
        self._hosts.append(host)
        self.save(self.report(complete=False))
        return len(self.done) + len(self._hosts)

    def interrupted(self) -> str:
        """What to say when the user has had enough."""
        if self._path is None:
            return "Interrupted: nothing was kept. With --resume FILE a scan can go on later."
        if not self.done and not self._hosts:
            return f"Interrupted: no host is through yet, so {self._path} was not written. Nothing was kept."
        return f"Interrupted: {self._path} keeps what is through. The same command goes on from there."

    def report(self, *, complete: bool) -> "Report":
        from bollard.assess.plan import assemble

        return assemble(
            self._hosts,
            self._settings,
            started=self._started,
            authorization=self._authorization,
            earlier=self._earlier,
            complete=complete,
        )

    def save(self, report: "Report") -> None:
        from bollard.assess.report import canonical
        from bollard.assess.report.formats import write

        if self._path is not None:
            write(self._path, canonical.render(report))


class _Progress:
    """One line on standard error that says what is done now; nothing where nobody looks."""

    def __init__(self, shown: bool, hosts: int, through: int) -> None:
        self._shown, self._hosts, self._through = shown, hosts, through

    def __call__(self, target: str, what: str) -> None:
        if self._shown:
            count = f"[{self._through} of {self._hosts} hosts] " if self._hosts > 1 else ""
            click.echo(f"\r\x1b[K{count}{target[:60]}: {what}", err=True, nl=False)

    def count(self, through: int) -> None:
        """So many hosts are through."""
        self._through = through

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def _consent(options: dict[str, Any]) -> "Consent":
    from bollard.assess.consent import verify
    from bollard.assess.scope import Consent, read_scope

    scope, signed_by = None, ""
    if options["scope_file"] and options["owner_key"]:
        scope, signed_by = verify(options["scope_file"], options["owner_key"])
    elif options["scope_file"]:
        scope = read_scope(options["scope_file"])
    elif options["owner_key"]:
        raise click.UsageError("--owner-key needs --scope.")
    return Consent(
        authorized=options["authorized"],
        own_network=options["own_network"],
        public=options["public"],
        active=options["active"] or options["intrusive"],
        intrusive=options["intrusive"],
        scope=scope,
        signed_by=signed_by,
    )


def _authorization(consent: "Consent", places: "list[Place]") -> dict[str, Any]:
    """What the report says about who allowed the scan."""
    if consent.scope is not None:
        return {
            "authorized_by": consent.scope.authorized_by,
            "valid_until": str(consent.scope.valid_until),
            "scope": list(consent.scope.targets),
            "signed_by": consent.signed_by,
        }
    if all(place.reach == "loopback" for place in places):
        return {"authorized_by": "not needed: this machine only"}
    return {"authorized_by": "the user, as owner of the private network"}


def _settings(options: dict[str, Any]) -> "Settings":
    from bollard.assess import catalogue
    from bollard.assess.plan import Settings
    from bollard.assess.probes.room import Bounds

    only = frozenset(each.upper() for each in options["only"])
    known = [each.definition.id for each in catalogue.checks() if each.definition.subject in SUBJECTS]
    refuse_unknown(only, known)
    return Settings(
        identities=identities(options),
        ca_file=options["ca_file"],
        server_name=options["server_name"],
        own_topic=_topic("--own-topic", options["own_topic"]),
        shared_topic=_topic("--shared-topic", options["shared_topic"]),
        revoke_command=_revoke_command(options),
        ceiling=options["ceiling"] or 0,
        expect_mtls=options["expect_mtls"],
        active=options["active"] or options["intrusive"],
        intrusive=options["intrusive"],
        allow_exposed_password=options["allow_exposed_password"],
        only=only,
        bounds=Bounds(
            packets_per_s=options["rate"],
            timeout_s=options["timeout"],
            listen_s=options["listen"],
            patience_s=options["patience"],
        ),
    )


def _revoke_command(options: dict[str, Any]) -> tuple[str, ...]:
    text = options["revoke_command"]
    if text is None:
        return ()
    if not (options["active"] or options["intrusive"]) or not options["second_username"]:
        raise click.UsageError("--revoke-command needs --active and --second-username: that user is revoked.")
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise click.UsageError(f"--revoke-command: {error}.") from None


def _topic(option: str, topic: str) -> str:
    from bollard.base.errors import PeerError
    from bollard.wire.topics import check_topic_name

    if topic:
        try:
            check_topic_name(topic)
        except PeerError as error:
            raise click.UsageError(f"{option}: {error.text}.") from None
    return topic
