"""The report as one HTML file that needs nothing else: an owner's page, then the professional part.

No script, no font, no image from elsewhere; the content security policy allows its own style and nothing more.
Everything is escaped by the template engine; no text of others stands in an attribute or a link.
"""

import base64
import hashlib
from functools import cache
from importlib import resources

import jinja2

from bollard.assess.model import Report, State
from bollard.assess.report import inventory, owner, words


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bollard.assess", "report/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clean"] = words.clean
    return environment


@cache
def _style() -> tuple[str, str]:
    """The style sheet, and the hash by which the policy allows it."""
    style = resources.files("bollard.assess.report").joinpath("templates/style.css.j2").read_text("utf-8")
    digest = hashlib.sha256(style.encode()).digest()
    return style, base64.b64encode(digest).decode()


def render(report: Report) -> str:
    """The page."""
    style, style_hash = _style()
    tasks = words.tasks(report)
    return (
        _environment()
        .get_template("trap.html.j2" if report.kind == "trap" else "report.html.j2")
        .render(
            report=report,
            style=style,
            style_hash=style_hash,
            words=words,
            owner=owner,
            inventory=inventory,
            problems=words.problems(report),
            tasks=tasks,
            helpers=owner.helpers(tasks),
            absent=owner.absent(report),
            notes=words.notes(report),
            accepted=words.accepted(report),
            unclear=words.of_state(report, State.INCONCLUSIVE),
            passed=words.of_state(report, State.PASS),
            untested=words.of_state(report, State.NOT_TESTED),
            grade_text=words.GRADES.get(report.grade.letter, ""),
        )
    )
