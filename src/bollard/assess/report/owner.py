"""What only the owner's page says: words for a reader who knows nothing of the field."""

import ipaddress
from collections import Counter
from collections.abc import Sequence

from bollard.assess.model import Report, State, Target
from bollard.assess.report.words import Task, clean, reproduction

#: The words that the page cannot do without, each with what it means.
GLOSSARY = {
    "message server": "the program through which your devices and apps exchange their messages, “the server” for short. It "
    "runs on a computer in your house or firm, or at a provider.",
    "address": "the number or name of a computer in a network. The person who looks after your network knows which "
    "computer that is.",
    "entrance": "a numbered way into a computer; each program that answers there has its own. Professionals call it a "
    "port.",
    "encrypted": "turned into a secret code on the way, so that nobody else can read or change it.",
    "identity card": "a file with which a server or a device proves who it is. Professionals call it a certificate.",
    "stranger": "anybody whose computer can reach the server: a guest in your Wi-Fi, say, or anybody in the world if it is "
    "open to the Internet.",
}
#: Those that stand on every page; the others are explained where they are used.
_ALWAYS = ("message server", "stranger")
_OF_ADDRESSES = ("address", "entrance")
_SERVER = "your message server, on the computer with the address"
_PUBLIC = "an address on the Internet"
_WHAT = {
    "configuration": "the settings of your message server, in the file",
    "installation": "your message server as it is set up on this computer, in the folder",
    "capture": "a recording of what went over the network, in the file",
    "device": "the device",
}
#: So few findings that there is nothing are named; more would bury the rest.
MAX_ABSENT = 3
#: Grades with which nobody should wait for the repair alone.
_BAD = ("D", "F")
#: Kinds of reports that are about a server which others can reach.
_REACHABLE = ("scan", "audit", "sniff")


def glossary(report: Report, tasks: Sequence[Task]) -> dict[str, str]:
    """The words that are on the page of this report, each with what it means."""
    said = " ".join(text for task in tasks for text in (*task.statements, task.remedy)).lower()
    said += " ".join(absent(report)).lower()
    addressed = any(target.kind == "broker" for target in report.targets)
    return {
        word: meaning
        for word, meaning in GLOSSARY.items()
        if word in _ALWAYS or word in said or (addressed and word in _OF_ADDRESSES)
    }


def subjects(report: Report) -> list[tuple[str, str, str]]:
    """What was looked at, each once: in words, by its name, and what more is known of it ("" if nothing)."""
    servers: dict[str, list[Target]] = {}
    found: dict[tuple[str, str, str], None] = {}
    for target in report.targets:
        if target.kind == "broker":
            servers.setdefault(_address(target)[0], []).append(target)
        else:
            program = _program([target]) if target.kind == "configuration" else ""
            found[_WHAT.get(target.kind, "the"), clean(target.name), _bracketed([program])] = None
    return [*(_server(host, targets) for host, targets in servers.items()), *found]


def _server(host: str, targets: list[Target]) -> tuple[str, str, str]:
    # The scheme of an address means nothing to an owner; two ways in at one address are one.
    entrances = list(dict.fromkeys(port for _, port in map(_address, targets) if port))
    word = "entrance" if len(entrances) == 1 else "entrances"
    at = f", {word} {', '.join(entrances)}" if entrances else ""
    return _SERVER, clean(host), at + _bracketed([_where(targets[0]), _program(targets)])


def _address(target: Target) -> tuple[str, str]:
    """Host and port of a target; no port ("") where its name has none."""
    name = target.name.partition("://")[2] or target.name
    host, _, port = name.rpartition(":")
    # Of an IPv6 address without brackets the last group is no port.
    bare = ":" in host and not host.endswith("]")
    known = host and not bare and port.isascii() and port.isdigit() and len(port) <= 5
    return (host, port) if known else (name, "")


def _where(target: Target) -> str:
    """In words, what kind of an address it is; "" where only a name is known."""
    try:
        address = ipaddress.ip_address(target.address or _address(target)[0].strip("[]"))
    except ValueError:
        return ""
    if address.is_loopback:
        return "the computer that made this check"
    return _PUBLIC if address.is_global else "an address inside a home or firm"


def _program(targets: Sequence[Target]) -> str:
    products = dict.fromkeys(clean(target.product) for target in targets if target.product)
    return f"the program {', '.join(products)}" if products else ""


def _bracketed(parts: Sequence[str]) -> str:
    said = "; ".join(part for part in parts if part)
    return f" ({said})" if said else ""


def reach(report: Report) -> str:
    """What is not known about who can reach the server; "" where there is nothing to say."""
    servers = [target for target in report.targets if target.kind == "broker"]
    exposed = any(each.check == "SCN-01" and each.state is State.FAIL for each in report.results)
    if exposed or not servers or any(_where(target) == _PUBLIC for target in servers):
        return ""
    return "Whether the server can be reached from the Internet was not checked."


def counts(report: Report) -> str:
    """How the checks ended, in a sentence: what the grade stands on."""
    states = Counter(each.state for each in report.results)
    open_, accepted = report.grade.open, sum(each.accepted is not None for each in report.results)
    found = {
        "found a weakness": open_,
        "found one that somebody has accepted": accepted,
        "found something good to know": states[State.FAIL] - open_ - accepted,
        "found no weakness": states[State.PASS],
        "ended unclear": states[State.INCONCLUSIVE],
        "left out (they mean nothing here, or could not be made from here)": states[State.NOT_TESTED],
    }
    total = len(report.results)
    ended = ", ".join(f"{count} {what}" for what, count in found.items() if count > 0)
    return f"{total} {'check' if total == 1 else 'checks'}: {ended}." if total else ""


def absent(report: Report) -> list[str]:
    """Weaknesses that were looked for and are nowhere, in the words of their checks; none where they are many."""
    elsewhere = {each.check for each in report.results if each.state in (State.FAIL, State.INCONCLUSIVE)}
    passed = dict.fromkeys(each.check for each in report.results if each.state is State.PASS)
    found = [
        report.checks[check].owner_text
        for check in passed
        if check in report.checks and check not in elsewhere
    ]
    return found if len(found) <= MAX_ABSENT else []


def helpers(tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """Who can fix it, each once, with the numbers of the tasks in the order of the page, from 1; one alone has all."""
    numbers: dict[str, list[str]] = {}
    for number, task in enumerate(tasks, 1):
        numbers.setdefault(task.who, []).append(str(number))
    return [(who, ", ".join(each)) for who, each in numbers.items()]


def when(number: int, task: Task) -> str:
    """Its place in the order, from 1, and how soon, as one statement."""
    return (
        f"{number}. Do this first: {task.urgency}"
        if number == 1
        else f"{number}. {task.urgency.capitalize()}"
    )


def bridge(report: Report) -> str:
    """What to do until help comes; "" where that can wait."""
    if report.grade.letter not in _BAD:
        return ""
    if report.kind == "trap":
        return "If you can do without the device, switch it off or take it off the network."
    if report.kind not in _REACHABLE:
        return ""
    return (
        "Ask the person who looks after the server, by phone, whether it can be cut off from guests' Wi-Fi and the "
        "Internet, or switched off, without stopping devices that you need. Do not try it yourself."
    )


def message(report: Report, tasks: Sequence[Task]) -> list[str]:
    """A message to whoever repairs it, line by line, ready to be sent with the page."""
    first = [task for task in tasks if task.urgency == tasks[0].urgency]
    ids = ", ".join(task.ids for task in first)
    rest = "; then the rest, in the order of the page" if len(first) < len(tasks) else ""
    lines = [
        f"Our message server and devices (MQTT) were looked at: grade {clean(report.grade.letter)}. "
        "The page is attached; your part is “For professionals”.",
        f"Please repair {tasks[0].urgency}: {ids}{rest}. {_again(report, tasks)}",
    ]
    if bridge(report):
        lines.append("Please call me first about what can be cut off or switched off until then.")
    return lines


def _again(report: Report, tasks: Sequence[Task]) -> str:
    results = (each for task in tasks for problem in task.problems for each in problem.results)
    if any(reproduction(each, report) for each in results):
        return "Then look again with the commands that stand there."
    return "Then look again with bollard doctor." if report.kind == "doctor" else "Then look again."
