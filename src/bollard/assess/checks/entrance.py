"""SCN checks about who gets in, and over what."""

from bollard.assess.checks.rows import check
from bollard.assess.model import Caution, Facts, Verdict, fails, passes, unsure, untested
from bollard.assess.probes.evidence import Doors, Guesses, Reach

SHUT = "every connection was ended without an answer, as by a server that wants a client certificate"


@check(
    "SCN-01",
    "Broker answers from an untrusted network",
    severity="M",
    group="SU",
    cwe=1327,
    owner="Your message server can be reached from the whole Internet, by anybody.",
    technical="The broker answers on a publicly routed address. Everything that is wrong with it can be tried by "
    "anybody.",
    remedy="network",
    evidence="e1",
    needs=(Reach,),
)
def exposed(facts: Facts) -> Verdict:
    reach = facts.get(Reach)
    if reach.reach == "public":
        return fails("It answers on a public address.", reach=reach.reach)
    if reach.reach == "loopback":
        return untested("the scan ran on the same machine, which says nothing about other networks")
    return untested("the scan ran inside the private network; only one from outside can tell")


@check(
    "SCN-02",
    "Plaintext MQTT accepts CONNECT",
    severity="H",
    group="TC",
    cwe=319,
    owner="Anybody on the way between your devices and the server, such as a guest in your Wi-Fi, can read and "
    "change what they say, passwords included.",
    technical="A CONNECT without TLS got an answer, so passwords and messages cross the network in the clear.",
    remedy="tls",
    evidence="e1",
    needs=(Reach,),
    internet=True,
    references=("MQTT 5.0, 5.4.5",),
)
def plaintext(facts: Facts) -> Verdict:
    reach = facts.get(Reach)
    if reach.transport == "ws":
        return untested("this listener is a WebSocket: see SCN-03")
    if reach.plaintext_answers:
        return fails("A CONNECT without TLS was answered.", transport=reach.transport)
    return passes("A CONNECT without TLS got no answer.", transport=reach.transport)


@check(
    "SCN-03",
    "Plaintext WebSocket",
    severity="H",
    group="TC",
    cwe=319,
    owner="Web pages that show or switch your devices talk to the server unencrypted, so anybody on the way can "
    "read and change it.",
    technical="MQTT over WebSocket is offered without TLS (ws:// rather than wss://).",
    remedy="tls",
    evidence="e1",
    needs=(Reach,),
    internet=True,
)
def plaintext_websocket(facts: Facts) -> Verdict:
    reach = facts.get(Reach)
    if not reach.websocket:
        return untested("this listener does not speak WebSocket")
    if reach.transport == "ws":
        return fails("A WebSocket without TLS was opened, and MQTT answered in it.", transport="ws")
    return passes("The WebSocket is inside TLS.", transport="wss")


@check(
    "SCN-04",
    "Anonymous CONNECT",
    severity="C",
    group="AU",
    cwe=306,
    owner="The server asks nobody for a password: whoever can reach it gets in, be it a guest in your Wi-Fi or "
    "anybody on the Internet.",
    technical="A CONNECT without user name, password or client certificate was accepted.",
    remedy="authenticate",
    evidence="e1",
    needs=(Doors,),
    references=("MQTT 5.0, 5.4.1",),
)
def anonymous(facts: Facts) -> Verdict:
    entries = facts.get(Doors).anonymous
    shown = {f"version {entry.version}": entry.outcome for entry in entries}
    if any(entry.accepted for entry in entries):
        return fails("A client without any credentials was let in.", shown=shown)
    if all(entry.answered for entry in entries):
        return passes("Clients without credentials were turned away.", shown=shown)
    return unsure("A CONNECT without credentials got no clear answer.", shown=shown)


@check(
    "SCN-05",
    "Any password accepted",
    severity="C",
    group="AU",
    cwe=287,
    owner="The server asks for a password and accepts any word as one, so it keeps nobody out.",
    technical="A CONNECT with a random user name and a random password was accepted. Where nobody needs "
    "credentials at all, SCN-04 says so and this check has nothing to add.",
    remedy="authenticate",
    evidence="e1",
    needs=(Doors,),
)
def any_password(facts: Facts) -> Verdict:
    doors = facts.get(Doors)
    if doors.anonymous_accepted:
        return untested("everybody is let in without a password: see SCN-04")
    if doors.shut:
        return untested(SHUT)
    if doors.invented.accepted:
        return fails("An invented user with an invented password was let in.", outcome=doors.invented.outcome)
    if doors.invented.answered:
        return passes("An invented user was turned away.", outcome=doors.invented.outcome)
    return unsure("An invented user got no clear answer.", outcome=doors.invented.outcome)


@check(
    "SCN-06",
    "User with empty or no password accepted",
    severity="H",
    group="AU",
    cwe=287,
    owner="Whoever knows or guesses a user's name gets into the server without a password.",
    technical="A CONNECT with a user name and an empty password, or none, was accepted.",
    remedy="authenticate",
    evidence="e1",
    needs=(Doors,),
)
def empty_password(facts: Facts) -> Verdict:
    doors = facts.get(Doors)
    shown = {"empty": doors.empty_password.outcome, "none": doors.no_password.outcome}
    if doors.anonymous_accepted or doors.invented.accepted:
        return untested("nobody's password is checked here: see SCN-04 and SCN-05")
    if doors.shut:
        return untested(SHUT)
    if doors.empty_password.accepted or doors.no_password.accepted:
        return fails("An invented user without a password was let in.", shown=shown)
    if doors.empty_password.answered and doors.no_password.answered:
        return passes("Users without a password were turned away.", shown=shown)
    return unsure("A user without a password got no clear answer.", shown=shown)


@check(
    "SCN-07",
    "Vendor's default login works",
    severity="C",
    group="AU",
    cwe=1392,
    owner="The server can be entered with the password that it came with, which anybody can look up on the Internet.",
    technical="One of a short list of user names and passwords that vendors and tutorials ship was accepted.",
    remedy="authenticate",
    evidence="e1",
    needs=(Guesses,),
    caution=Caution.ACTIVE,
)
def default_login(facts: Facts) -> Verdict:
    guesses = facts.get(Guesses)
    if guesses.default_login:
        return fails(
            f"A default password of user {guesses.default_login!r} works.", user=guesses.default_login
        )
    if guesses.stopped:
        return unsure(f"The broker stopped us after {guesses.tried} tries.", tried=guesses.tried)
    return passes(f"{guesses.tried} common logins were turned away.", tried=guesses.tried)


@check(
    "SCN-08",
    "No throttle after ten failed logins",
    severity="M",
    group="AU",
    cwe=307,
    owner="The server lets an attacker guess passwords without end, as fast as they can.",
    technical="Ten failed logins of one user in a row were answered alike and equally fast: no delay, no lockout.",
    remedy="throttle",
    evidence="e1",
    needs=(Guesses,),
    caution=Caution.ACTIVE,
    internet=True,
)
def no_throttle(facts: Facts) -> Verdict:
    guesses = facts.get(Guesses)
    shown = {"failures": guesses.wrong_tries, "first_ms": guesses.first_ms, "last_ms": guesses.last_ms}
    if guesses.throttled:
        return passes("The broker slowed down or stopped answering.", shown=shown)
    if guesses.wrong_tries < 10:
        return untested(f"only {guesses.wrong_tries} logins of the row could be tried")
    return fails("Ten failed logins changed nothing.", shown=shown)


@check(
    "SCN-09",
    "User enumeration",
    severity="L",
    group="AU",
    cwe=204,
    owner="The server tells strangers which user names exist, which makes guessing passwords easier.",
    technical="A wrong password is answered with another reason code when the user exists. Times are reported "
    "and not judged: one measurement proves nothing.",
    remedy="throttle",
    evidence="e1",
    needs=(Guesses,),
    caution=Caution.ACTIVE,
)
def enumeration(facts: Facts) -> Verdict:
    guesses = facts.get(Guesses)
    if len(guesses.known_user_codes) < 2:
        return untested("it needs the credentials of a user that exists")
    known, unknown = guesses.known_user_codes[:2]
    shown = {
        "known_user": f"0x{known:02X}",
        "unknown_user": f"0x{unknown:02X}",
        "known_ms": guesses.known_user_ms,
        "unknown_ms": guesses.unknown_user_ms,
    }
    if known != unknown:
        return fails("Known and unknown users get different answers.", shown=shown)
    return passes("Known and unknown users get the same answer.", shown=shown)


@check(
    "SCN-33",
    "MQTT 3.1 accepted",
    severity="L",
    group="SU",
    cwe=1188,
    owner="The server still accepts an outdated version of its language, which was replaced in 2014.",
    technical="A CONNECT of MQTT 3.1 (protocol name MQIsdp) was accepted.",
    remedy="versions",
    evidence="e1",
    needs=(Doors,),
)
def old_version(facts: Facts) -> Verdict:
    doors = facts.get(Doors)
    entry = doors.old_version
    shown = {"outcome": entry.outcome, "code": f"0x{entry.code:02X}"}
    if entry.accepted:
        return fails("A client of MQTT 3.1 was let in.", shown=shown)
    if entry.outcome == "refused" and entry.code in (0x86, 0x87):
        return unsure(
            "MQTT 3.1 was understood, and the client was turned away for its credentials.", shown=shown
        )
    if entry.outcome == "closed" and doors.shut:
        return untested(SHUT)
    if entry.answered:
        return passes("MQTT 3.1 was refused.", shown=shown)
    return unsure("A CONNECT of MQTT 3.1 got no clear answer.", shown=shown)


CHECKS = (
    exposed,
    plaintext,
    plaintext_websocket,
    anonymous,
    any_password,
    empty_password,
    default_login,
    no_throttle,
    enumeration,
    old_version,
)
