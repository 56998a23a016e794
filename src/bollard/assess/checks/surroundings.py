"""SCN checks about the doors beside MQTT: web pages, administration, cluster."""

from bollard.assess.checks.rows import check
from bollard.assess.model import Facts, Verdict, fails, passes, unsure
from bollard.assess.probes.evidence import OpenPort, Origins, Ports


@check(
    "SCN-34",
    "WebSocket from a foreign page accepted",
    severity="M",
    group="AZ",
    cwe=1385,
    owner="Any web page that somebody in your network opens can secretly talk to the server.",
    technical="A WebSocket handshake whose Origin is a foreign page was accepted, so a page can use a browser in "
    "the network as its way to the broker.",
    remedy="origin",
    evidence="e1",
    needs=(Origins,),
)
def origin(facts: Facts) -> Verdict:
    origins = facts.get(Origins)
    shown = {"foreign_page": origins.foreign, "no_page": origins.none}
    if origins.foreign == 101:
        return fails("A page of a foreign origin was let in.", shown=shown)
    if origins.foreign >= 400:
        return passes("A page of a foreign origin was turned away.", shown=shown)
    return unsure("The handshake from a foreign page got no clear answer.", shown=shown)


def _judge_ports(found: tuple[OpenPort, ...], looked: tuple[int, ...], what: str) -> Verdict:
    if found:
        names = [f"{each.port} ({each.purpose})" for each in found]
        return fails(f"Open: {', '.join(names)}. What answers there was not asked.", ports=names)
    return passes(f"No {what} port was open.", looked=list(looked))


@check(
    "SCN-36",
    "Administration port open",
    severity="H",
    group="SU",
    cwe=306,
    owner="The control panel of the server can be reached by others in the network.",
    technical="A port on which brokers offer administration, an API or figures takes connections.",
    remedy="close",
    evidence="e1",
    needs=(Ports,),
    subject="host",
    internet=True,
)
def administration(facts: Facts) -> Verdict:
    ports = facts.get(Ports)
    return _judge_ports(ports.administration, ports.looked, "administration")


@check(
    "SCN-37",
    "Cluster port open",
    severity="H",
    group="SU",
    cwe=1327,
    owner="An entrance that is meant only for servers talking among themselves is open to others in the network.",
    technical="A port of Erlang's port mapper or of a broker's cluster takes connections.",
    remedy="close",
    evidence="e1",
    needs=(Ports,),
    subject="host",
    internet=True,
)
def cluster(facts: Facts) -> Verdict:
    ports = facts.get(Ports)
    return _judge_ports(ports.cluster, ports.looked, "cluster")


CHECKS = (origin, administration, cluster)
