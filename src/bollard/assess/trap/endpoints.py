"""The endpoints: which defect, which TLS, which conduct. A table, and the contexts made from it."""

import enum
import ssl
import warnings
from dataclasses import dataclass

from bollard.assess.trap.forge import Papers


class Conduct(enum.Enum):
    """What the server at an endpoint does once a device has sent CONNECT."""

    SERVE = "accept it, and send commands to whatever it subscribes to"
    MALFORMED = "accept it, then send what is no MQTT"
    REFUSE_METHOD = "refuse its method of enhanced authentication"
    REDIRECT = "send it to another server"
    DROP = "hang up"
    RESET = "cut the connection before TLS, and listen without TLS elsewhere"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One defect. `chain` is a key of `Papers.chains`; `tls` "", "old" or "bare" (no encryption or identity).

    `needs_trust`: an abort says something only if the device trusts the test root.
    """

    id: str
    defect: str
    chain: str = "good"
    tls: str = ""
    conduct: Conduct = Conduct.SERVE
    needs_trust: bool = True


CONTROL = Endpoint("CONTROL", "none: the right certificate under the test root", needs_trust=False)
ENDPOINTS = (
    Endpoint("DEV-01", "a certificate that signed itself", "self-signed", needs_trust=False),
    Endpoint("DEV-02", "an authority that the device does not know", "untrusted", needs_trust=False),
    Endpoint("DEV-03", "the certificate of another host", "wrong-host"),
    Endpoint("DEV-04", "a certificate that has expired", "expired"),
    Endpoint("DEV-05", "a certificate that is not yet valid", "not-yet"),
    Endpoint("DEV-06", "a certificate issued by one that is no authority", "leaf-as-ca"),
    Endpoint("DEV-07", "the right certificate without its key", "wrong-key"),
    Endpoint("DEV-08", "a certificate that is no server's", "wrong-purpose"),
    Endpoint("DEV-09", "a revoked certificate", "revoked"),
    Endpoint("DEV-10", "TLS 1.0 and 1.1 only", tls="old"),
    Endpoint("DEV-11", "TLS without encryption or without identity", tls="bare", needs_trust=False),
    Endpoint("DEV-12", "RSA of 1024 bits, signed with SHA-1", "weak"),
    Endpoint("DEV-13", "TLS refused, plaintext offered", conduct=Conduct.RESET, needs_trust=False),
    Endpoint("DEV-14", "a SCRAM server that cannot prove itself"),
    Endpoint("DEV-15", "packets that are no MQTT", conduct=Conduct.MALFORMED),
    Endpoint("DEV-16", "enhanced authentication refused", conduct=Conduct.REFUSE_METHOD),
    Endpoint("DEV-17", "a redirection to a foreign server", conduct=Conduct.REDIRECT),
    Endpoint("DEV-18", "commands from a server of an unknown authority", "untrusted", needs_trust=False),
    Endpoint("DEV-19", "a server that always hangs up", conduct=Conduct.DROP, needs_trust=False),
)
#: Endpoints that are not served, and why.
UNSERVED = {"DEV-20": "the TLS library here cannot offer 0-RTT, and no ClientHello asked for it unbidden"}

_EVERYTHING = "ALL:@SECLEVEL=0"


def context(endpoint: Endpoint, papers: Papers) -> ssl.SSLContext:
    """The TLS of an endpoint. Without tickets, so that each visit has to judge the certificate anew."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_alpn_protocols(["mqtt"])
    made.options |= ssl.OP_NO_TICKET
    made.num_tickets = 0
    with warnings.catch_warnings():
        # Old versions are deprecated, which is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if endpoint.tls == "old":
            made.set_ciphers(_EVERYTHING)
            made.minimum_version = ssl.TLSVersion.TLSv1
            made.maximum_version = ssl.TLSVersion.TLSv1_1
    if endpoint.tls == "bare":
        made.set_ciphers("aNULL:eNULL:@SECLEVEL=0")
        made.maximum_version = ssl.TLSVersion.TLSv1_2
    elif endpoint.chain == "weak":
        made.set_ciphers(_EVERYTHING)
    made.load_cert_chain(papers.chains[endpoint.chain])
    return made
