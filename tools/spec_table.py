"""Builds docs/SPEC.md: every normative statement of MQTT 3.1.1 and 5.0, where it is enforced, which test shows it.

    python tools/spec_table.py           write the table
    python tools/spec_table.py --check   change nothing; fail if the table is out of date

The statements are data in tests/spec/clauses_*.toml. The evidence is found by tags in the source, such as
[MQTT5-3.1.2-24]: a tag belongs to the function or class around it. Either way the exit code is 1 when a
statement has neither a place with a test nor a waiver, or when a tag names no statement.
"""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path("docs/SPEC.md")
VERSIONS = {"MQTT3": ("MQTT 3.1.1", "clauses_v311.toml"), "MQTT5": ("MQTT 5.0", "clauses_v5.toml")}
CHAPTERS = {
    "1.5": "Data representation",
    "2": "Structure of a packet",
    "3.1": "CONNECT",
    "3.2": "CONNACK",
    "3.3": "PUBLISH",
    "3.4": "PUBACK",
    "3.5": "PUBREC",
    "3.6": "PUBREL",
    "3.7": "PUBCOMP",
    "3.8": "SUBSCRIBE",
    "3.9": "SUBACK",
    "3.10": "UNSUBSCRIBE",
    "3.11": "UNSUBACK",
    "3.12": "PINGREQ",
    "3.14": "DISCONNECT",
    "3.15": "AUTH",
    "4": "Operational behaviour",
    "6": "WebSocket",
    "7": "Conformance",
}
#: [MQTT5-1.5.4-1] or MQTT5-1.5.4-1; more of one section follow as "/-2" or ", -2", up to one as " … -6".
TAG = re.compile(r"\b(MQTT[35]-\d+(?:\.\d+)+)-(\d+)((?:(?:/|, ?| ?… ?)-\d+)*)(?!\d|\.\d)")
MORE = re.compile(r"(/|,|…) ?-(\d+)")
#: Its tables hold tags that are wrong on purpose, and right ones that show nothing.
OWN_TEST = "spec/test_spec_table.py"
SHOWN_TESTS = 4
SHOWN_PLACES = 4


@dataclass
class Clause:
    """One normative statement with its evidence. `places` and `tests` are texts for the table."""

    tag: str
    binds: str
    says: str
    waiver: str
    places: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)

    @property
    def shown(self) -> bool:
        """Is there a place that enforces it and a test that shows it?"""
        return bool(self.places and self.tests)


@dataclass(frozen=True)
class Found:
    """One tag in a file: `symbol` is the function or class around it, "" at module level."""

    tag: str
    path: str
    symbol: str
    line: int


def load(root: Path) -> tuple[dict[str, Clause], list[str]]:
    """All statements by tag, and what is wrong with the data."""
    folder = root / "tests/spec"
    reasons = tomllib.loads((folder / "waivers.toml").read_text(encoding="utf-8"))
    clauses, errors = {}, []
    for version, (_, name) in VERSIONS.items():
        for number, row in tomllib.loads((folder / name).read_text(encoding="utf-8")).items():
            tag = f"{version}-{number}"
            waiver = row.get("waived", "")
            if waiver and waiver not in reasons:
                errors.append(f"{name}: {number} is waived for the unknown reason {waiver!r}")
            places = [place for place in row.get("at", ()) if has_symbol(root / "src/bollard", place)]
            lost = set(row.get("at", ())) - set(places)
            errors.extend(f"{name}: {number} names {place}, which does not exist" for place in sorted(lost))
            clauses[tag] = Clause(tag, row["binds"], row["says"], reasons.get(waiver, ""), places)
    return clauses, errors


def has_symbol(base: Path, place: str) -> bool:
    """Does "wire/reader.py:Reader.utf8" exist?"""
    name, _, symbol = place.partition(":")
    path = base / name
    return path.exists() and (not symbol or symbol in {found for _, _, found in symbols(path)})


def symbols(path: Path) -> list[tuple[int, int, str]]:
    """First line, last line and dotted name of every class and function; outer before inner."""
    found: list[tuple[int, int, str]] = []

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{prefix}{child.name}"
                first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                found.append((first, child.end_lineno or first, name))
                visit(child, f"{name}.")
            else:
                visit(child, prefix)

    visit(ast.parse(path.read_text(encoding="utf-8")), "")
    return found


def scan(root: Path, folder: str) -> Iterator[Found]:
    """Every tag in the Python files below `folder`."""
    for path in sorted((root / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "MQTT3-" not in text and "MQTT5-" not in text:
            continue
        spans = symbols(path)
        for number, line in enumerate(text.splitlines(), 1):
            inside = [name for first, last, name in spans if first <= number <= last]
            for tag in tags_of(line):
                place = path.relative_to(root / folder).as_posix()
                yield Found(tag, place, inside[-1] if inside else "", number)


def tags_of(line: str) -> Iterator[str]:
    """The statements that a line of source names."""
    for section, first, more in TAG.findall(line):
        last = int(first)
        yield f"{section}-{last}"
        for sign, number in MORE.findall(more):
            start = last + 1 if sign == "…" else int(number)
            last = int(number)
            yield from (f"{section}-{n}" for n in range(start, last + 1))


def serves(clause: Clause, place: str) -> bool:
    """Does code at `place` count for `clause`? What the client room does is no evidence for a server.

    Floor 0 enforces nothing: there a tag is an example.
    """
    if place.startswith("base/"):
        return False
    return clause.binds == "client" or not place.startswith(("client/", "cli/"))


def test_name(found: Found) -> str:
    """How a tag in tests/ stands in the table; "" where it does not lie in a test."""
    parts = found.symbol.split(".")
    if any(part.startswith("test_") for part in parts):
        return f"{found.path}::{parts[-1] if parts[-1].startswith('test_') else parts[0]}"
    is_table = not found.symbol and Path(found.path).name.startswith("test_")
    return found.path if is_table else ""


def gather(root: Path) -> tuple[dict[str, Clause], list[str]]:
    """All statements with their evidence, and everything that is wrong."""
    clauses, errors = load(root)
    for found in scan(root, "src/bollard"):
        clause = clauses.get(found.tag)
        if clause is None:
            errors.append(f"src/bollard/{found.path}:{found.line}: {found.tag} is no normative statement")
        elif serves(clause, found.path):
            clause.places.append(f"{found.path}:{found.symbol}".rstrip(":"))
    for found in scan(root, "tests"):
        if found.path == OWN_TEST:
            continue
        clause = clauses.get(found.tag)
        if clause is not None and test_name(found):
            clause.tests.append(test_name(found))
        elif clause is None:
            errors.append(f"tests/{found.path}:{found.line}: {found.tag} is no normative statement")
    for clause in clauses.values():
        clause.places = sorted(set(clause.places))
        clause.tests = sorted(set(clause.tests), key=lambda name: (not name.startswith("spec/"), name))
        if not clause.shown and not clause.waiver:
            errors.append(f"{clause.tag}: {missing(clause)}: {clause.says}")
    return clauses, errors


def missing(clause: Clause) -> str:
    lacks = [name for name, found in (("place", clause.places), ("test", clause.tests)) if not found]
    return f"no {' and no '.join(lacks)}, and no waiver"


def chapter_of(tag: str) -> str:
    """The key of CHAPTERS: the longest that the section begins with."""
    section = tag.split("-")[1]
    return max((key for key in CHAPTERS if f"{section}.".startswith(f"{key}.")), key=len)


def render(clauses: dict[str, Clause]) -> str:
    """The whole of docs/SPEC.md."""
    lines = [*HEAD, "", "| | statements | enforced and tested | waived |", "|---|---|---|---|"]
    for version, (title, _) in VERSIONS.items():
        own = [clause for clause in clauses.values() if clause.tag.startswith(version)]
        shown = sum(clause.shown for clause in own)
        waived = sum(bool(clause.waiver) and not clause.shown for clause in own)
        lines.append(f"| {title} | {len(own)} | {shown} | {waived} |")
    for version, (title, _) in VERSIONS.items():
        lines += ["", f"## {title}"]
        chapters: dict[str, list[Clause]] = defaultdict(list)
        for clause in clauses.values():
            if clause.tag.startswith(version):
                chapters[chapter_of(clause.tag)].append(clause)
        for key, rows in chapters.items():
            lines += ["", f"### {key} {CHAPTERS[key]}", "", *TABLE, *(row(clause) for clause in rows)]
    return "\n".join(lines) + "\n"


HEAD = [
    "# Every normative statement, and how it is kept",
    "",
    "Generated by `tools/spec_table.py` from `tests/spec/clauses_*.toml` and the tags in source and tests; do not",
    "edit it. A statement `[MQTT-x.y.z-n]` of a specification is called `MQTT3-x.y.z-n` (3.1.1) or",
    "`MQTT5-x.y.z-n` (5.0) here, because the same number means different things. The wording is ours: the",
    "specifications have the last word. *Binds* says whose duty it is. Paths are below `src/bollard` and `tests`.",
]
TABLE = ["| Statement | Binds | Says | Enforced in | Shown by |", "|---|---|---|---|---|"]


def row(clause: Clause) -> str:
    number = clause.tag.partition("-")[2]
    start = f"| {number} | {clause.binds} | {clause.says} "
    if not clause.shown and clause.waiver:
        return f"{start}| *waived* | {clause.waiver} |"
    return f"{start}| {cell(clause.places, SHOWN_PLACES)} | {cell(clause.tests, SHOWN_TESTS)} |"


def cell(items: list[str], limit: int) -> str:
    if not items:
        return "**missing**"
    more = f"<br>and {len(items) - limit} more" if len(items) > limit else ""
    return "<br>".join(f"`{item}`" for item in items[:limit]) + more


def main(arguments: list[str], root: Path = ROOT) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write(__doc__ or "")
        return 2
    clauses, errors = gather(root)
    text = render(clauses)
    target = root / TARGET
    if not arguments:
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
    elif not target.exists() or target.read_text(encoding="utf-8") != text:
        errors.append(f"{TARGET} is out of date: run `python tools/spec_table.py`")
    for error in errors:
        sys.stderr.write(f"{error}\n")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
