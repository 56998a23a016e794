"""PCP checks about what a capture told of TLS, of servers, and of the devices as such."""

from bollard.assess.capture.evidence import Traffic
from bollard.assess.checks.rows import check
from bollard.assess.checks.traffic import MAX_LISTED, NO_MQTT, quiet, sample
from bollard.assess.model import Duty, Facts, Severity, Verdict, fails, passes, unsure, untested

NO_TLS = "no MQTT over TLS was seen"
#: Alerts by which a client says that it does not like the certificate.
_REFUSALS = (42, 43, 44, 45, 46, 48)


@check(
    "PCP-05",
    "Devices in the capture",
    severity="I",
    group="AM",
    cwe=1059,
    owner="These devices were seen in the network; somebody should know each of them.",
    technical="Client ids, addresses, network cards, versions, topics and ClientHello fingerprints make the inventory.",
    remedy="register",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
    duty=Duty.OWNER,
)
def inventory(facts: Facts) -> Verdict:
    traffic = facts.get(Traffic)
    if not traffic.mqtt:
        return untested(NO_MQTT)
    return fails(
        f"Seen: devices {traffic.devices}, servers {len(traffic.servers)}.",
        devices=traffic.devices,
        servers=[f"{each.address} port {each.port}" for each in traffic.servers[:MAX_LISTED]],
    )


@check(
    "PCP-07",
    "Weak TLS agreed to",
    severity="H",
    group="CY",
    cwe=327,
    owner="Some devices use encryption that has been broken for years.",
    technical="A handshake ended in TLS below 1.2, in a broken suite, or with a certificate of a weak key or hash. "
    "Suites that are only old, without forward secrecy or authenticated encryption, count as medium.",
    remedy="tls-strength",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
    references=("RFC 8996", "RFC 9325"),
)
def weak_tls(facts: Facts) -> Verdict:
    traffic = facts.get(Traffic)
    if not traffic.tls:
        return untested(NO_TLS if traffic.mqtt else NO_MQTT)
    weak = [f"{each.place}: {', '.join(each.weak)}" for each in traffic.tls if each.weak]
    dated = [f"{each.place}: {', '.join(each.dated)}" for each in traffic.tls if each.dated]
    evidence = {"weak": weak[:MAX_LISTED], "dated": dated[:MAX_LISTED]}
    if weak:
        return fails(f"Clients that agreed to weak TLS: {len(weak)} of {len(traffic.tls)}.", shown=evidence)
    if dated:
        return fails(
            f"Clients that agreed to suites that are only old: {len(dated)} of {len(traffic.tls)}.",
            shown=evidence,
            severity=Severity.MEDIUM,
        )
    agreed = sorted({each.version for each in traffic.tls if each.version})
    if not agreed:
        return unsure("No handshake of these connections is in the capture.")
    return quiet(traffic, f"What was agreed to: {', '.join(agreed)}, with good suites.")


@check(
    "PCP-08",
    "Plaintext after TLS failed",
    severity="H",
    group="SV",
    cwe=757,
    owner="When encryption fails, a device goes on without it: an attacker need only disturb the connection.",
    technical="After a TLS handshake had failed or was refused, the same client sent a CONNECT in the clear to the "
    "same server within five minutes.",
    remedy="no-fallback",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
    duty=Duty.DEVICE_MAKER,
)
def downgrade(facts: Facts) -> Verdict:
    traffic = facts.get(Traffic)
    if traffic.downgrades:
        return fails(
            f"Clients that went on in the clear after TLS had failed: {len(traffic.downgrades)}.",
            downgrades=sample(traffic.downgrades),
        )
    if not traffic.failures:
        return untested("no handshake failed, so nobody could fall back" if traffic.mqtt else NO_MQTT)
    failures = sample(traffic.failures)
    if traffic.unread.total:
        return unsure("No retry was seen, but not everything could be read.", failures=failures)
    return passes(f"Failed handshakes: {len(failures)}, and nobody went on in the clear.", failures=failures)


@check(
    "PCP-09",
    "Client goes on with a bad certificate",
    severity="H",
    group="SV",
    cwe=295,
    owner="A device talks to a server whose identity card is wrong, so an impostor could command it.",
    technical="Up to TLS 1.2 the server's certificate was in the clear: it had expired, was not yet valid, or does "
    "not cover the name that the client asked for, and the client sent data nevertheless. Whether the client knows "
    "the authority cannot be seen, and TLS 1.3 hides certificates.",
    remedy="verify-server",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
    duty=Duty.DEVICE_MAKER,
)
def bad_certificate(facts: Facts) -> Verdict:
    traffic = facts.get(Traffic)
    if not traffic.tls:
        return untested(NO_TLS if traffic.mqtt else NO_MQTT)
    careless = [f"{each.place}: {', '.join(each.faults)}" for each in traffic.tls if each.proceeded]
    refused = [f"{each.place}: alert {each.alert}" for each in traffic.tls if each.alert in _REFUSALS]
    evidence = {"went_on": careless[:MAX_LISTED], "refused": refused[:MAX_LISTED]}
    if careless:
        return fails(
            f"Clients that went on with a certificate that they should refuse: {len(careless)}.",
            shown=evidence,
        )
    if refused:
        return passes(
            f"Clients that refused a certificate: {len(refused)}; none went on with a bad one.",
            shown=evidence,
        )
    visible = sum(each.visible for each in traffic.tls)
    if not visible:
        return untested("no certificate could be seen: TLS 1.3 hides them, or no handshake is in the capture")
    if any(each.faults for each in traffic.tls):
        return unsure(
            "Certificates with faults were seen, and what the clients did then was not.", shown=evidence
        )
    return unsure(
        "All certificates that were seen were in order, so no client had anything to refuse.", visible=visible
    )


@check(
    "PCP-12",
    "Unknown broker outside",
    severity="M",
    group="SU",
    cwe=1327,
    owner="Devices in this network report to a server on the Internet that nobody here has vouched for.",
    technical="MQTT, in the clear or in TLS, went to a public address that is not among the known ones (--known).",
    remedy="segment",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
    duty=Duty.OWNER,
)
def outside(facts: Facts) -> Verdict:
    traffic = facts.get(Traffic)
    if not traffic.mqtt:
        return untested(NO_MQTT)
    public = [each for each in traffic.servers if each.reach == "public"]
    unknown = [f"{each.place}: {each.address} port {each.port}" for each in public if not each.known]
    if unknown:
        return fails(f"Servers outside that are not known: {len(unknown)}.", servers=unknown[:MAX_LISTED])
    if public:
        return passes(f"Servers outside: {len(public)}, all of them known ones.")
    return quiet(traffic, "All servers that were seen are in private networks.")


@check(
    "PCP-13",
    "Server names left out of TLS",
    severity="L",
    group="SV",
    cwe=297,
    owner="Some devices cannot check which server they talk to, because no name is asked for or given.",
    technical="A ClientHello without a server name (SNI), or a server certificate without a subjectAltName.",
    remedy="verify-server",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
    duty=Duty.DEVICE_MAKER,
    references=("RFC 9525",),
)
def names(facts: Facts) -> Verdict:
    traffic = facts.get(Traffic)
    if not traffic.tls:
        return untested(NO_TLS if traffic.mqtt else NO_MQTT)
    hellos = [each for each in traffic.tls if each.hello_seen]
    if not hellos:
        return untested("no ClientHello is in the capture")
    without = [str(each.place) for each in hellos if not each.sni]
    nameless = [str(each.place) for each in hellos if each.names_missing]
    if without or nameless:
        return fails(
            f"Clients that ask for no name: {len(without)}; that got a certificate with only a Common Name: {len(nameless)}.",
            no_server_name=without[:MAX_LISTED],
            common_name_only=nameless[:MAX_LISTED],
        )
    return passes(f"Clients that ask for the server by its name: {len(hellos)}, all of them.")


CHECKS = (inventory, weak_tls, downgrade, bad_certificate, outside, names)
