"""Writes docs/CHECKS.md from the catalogue; with --check, says whether it is up to date."""

import sys
from pathlib import Path

from bollard.assess import catalogue
from bollard.assess.model import Definition

TARGET = Path(__file__).parent.parent / "docs" / "CHECKS.md"
HEAD = """\
# Checks

What assessments look for, in the order of the ids; [ASSESSMENT.md](ASSESSMENT.md) says how. Generated from the
catalogue: edit the files under `src/bollard/assess/checks`, then run `python tools/checks_reference.py`.

Each check ends as *fail*, *pass*, *inconclusive* or *not-tested*; only *pass* is good news. The severity rises by
one step on a public address where that is said. Where standards are named, the evidence is relevant to these
provisions; it is no statement of compliance.

Safe checks only look and ask. Active ones (`--active`) publish in a random namespace of their own, or try
passwords. Intrusive ones (`--intrusive`, with a signed scope file) strain the target.
"""


def document() -> str:
    """The whole of docs/CHECKS.md."""
    definitions = [check.definition for check in catalogue.checks()]
    rows = [
        f"|[{each.id}](#{each.id.lower()})|{each.title}|{each.severity}|{each.caution}|CWE-{each.cwe}|"
        for each in definitions
    ]
    table = ["|Id|Looks for|Severity|Caution|CWE|", "|-|-|-|-|-|", *rows]
    return "\n".join([HEAD, *table, "", *map(section, definitions)]).rstrip() + "\n"


def section(definition: Definition) -> str:
    """What the catalogue says about one check."""
    raised = ", one step worse on a public address" if "internet" in definition.modifiers else ""
    lines = [
        f"## {definition.id}",
        "",
        f"**{definition.title}.** {definition.owner_text}",
        "",
        f"What the owner is told to ask for: {definition.owner_remedy}",
        "",
        definition.technical_text,
        "",
        f"- Severity: {definition.severity}{raised}. Caution: {definition.caution}. About a {definition.subject}.",
        f"- Area: {catalogue.GROUPS[definition.group]}. Evidence: {catalogue.EVIDENCE[definition.evidence]}.",
        f"- Who can fix it: {definition.duty_holder}. {definition.remedy}",
    ]
    lines += [f"  - {product}: `{text}`" for product, text in definition.remediation.items()]
    if definition.references:
        lines.append(f"- See: {', '.join(definition.references)}.")
    for name, provisions in definition.relevant.items():
        lines.append(f"- {name}: {', '.join(provisions)}")
    return "\n".join([*lines, ""])


def main(arguments: list[str]) -> int:
    text = document()
    if "--check" not in arguments:
        TARGET.write_text(text, "utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text("utf-8") == text:
        return 0
    print("docs/CHECKS.md is out of date: python tools/checks_reference.py", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
