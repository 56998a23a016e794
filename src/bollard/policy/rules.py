"""The rules of a policy file: their types, and how the file becomes them.

Whatever is wrong in the file is found here, before anything is decided by it, and told with its line.
Nothing is decided here, and nothing is known of the identities that exist: an identity may be enrolled
before or after the policy names it.

The file is TOML. Its order never matters.

    version = 1                             always, so that a later language can be told apart
    [template.NAME]                         rights that identities are enrolled with, or get from a group
    [preset.NAME] use, ...                  the same, from one of the built-in presets
    [group.NAME]  members, apply            members are identities or patterns: "esp-*", "*"
    [grant.NAME]  who, from, until, for, reason     rights for some, perhaps only for a time
    [options]     allow_foreign_response_topics     what weakens, and is off
    [deny.NAME]   who, except               what stays forbidden, whatever else grants it

`publish`, `subscribe`, `retain` and `will` are the rights: arrays of topic filters, in which a level may be a
variable. `share` is the right to shared groups by their names. `max_qos`, `max_payload`, `rate`, `max_subscriptions`
and `max_connections` are limits, in all tables but [deny.NAME]. `who` and `except` name an identity, "group:NAME", or
"*" for all.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from bollard.base.allowance import BOUNDS
from bollard.base.toml import Document, kind, load_toml, suggest
from bollard.policy.entry import MEMBER, Entry
from bollard.policy.model import (
    GROUP,
    GROUP_PREFIX,
    ID,
    RIGHTS,
    Deny,
    Grant,
    Group,
    Rules,
    Subjects,
    Template,
)
from bollard.policy.presets import PRESETS, Preset, expand

_T = TypeVar("_T")

#: What the table [options] may hold.
OPTIONS = ("allow_foreign_response_topics",)


def parse_policy(path: Path) -> Rules:
    """The rules in the file at `path`. Raises ConfigError, with file and line, for anything that is wrong."""
    return read_rules(load_toml(path))


def read_rules(document: Document) -> Rules:
    """The rules in a parsed policy file. Raises ConfigError, with file and line, as `parse_policy` does."""
    document.check_keys((), ("version", "template", "preset", "group", "grant", "deny", "options"))
    version = document.data.get("version")
    if type(version) is not int or version != 1:
        found = "there is no version" if version is None else "this version is not known"
        raise document.error(found, "version", remedy="Write version = 1 at the top of the file.")
    groups = _entries(document, "group", _group)
    templates = _entries(document, "template", lambda entry: _template(entry, groups))
    presets = _entries(document, "preset", _preset)
    for name in presets.keys() & templates.keys():
        remedy = "Rename one of them: groups and enrolments mean either by its name."
        raise document.error(f'"{name}" is a template and a preset', "preset", name, remedy=remedy)
    rules = Rules(
        templates=templates | presets,
        groups=groups,
        grants=_entries(document, "grant", lambda entry: _grant(entry, groups)),
        denies=_entries(document, "deny", lambda entry: _deny(entry, groups)),
        allow_foreign_response_topics=_option(document, "allow_foreign_response_topics"),
    )
    _check_applied(document, rules)
    return rules


def _option(document: Document, name: str) -> bool:
    """The option `name` of the table [options]. All of them weaken, and are off."""
    table = document.data.get("options", {})
    if not isinstance(table, dict):
        remedy = "Write a table [options]."
        raise document.error(f"options is {kind(table)}, expected a table", "options", remedy=remedy)
    if table:
        document.check_keys(("options",), OPTIONS)
    value = table.get(name, False)
    if not isinstance(value, bool):
        remedy = f"Write {name} = true, or leave it out."
        raise document.error(
            f"{name} is {kind(value)}, expected true or false", "options", name, remedy=remedy
        )
    return value


def _entries(document: Document, section: str, read: Callable[[Entry], _T]) -> dict[str, _T]:
    """What `read` makes of each table [section.NAME], by name."""
    tables = document.data.get(section, {})
    if not isinstance(tables, dict):
        remedy = f"Write a table [{section}.NAME]."
        raise document.error(f"{section} is {kind(tables)}, expected tables", section, remedy=remedy)
    return {name: read(Entry(document, section, name, table)) for name, table in tables.items()}


def _template(entry: Entry, groups: Mapping[str, Group]) -> Template:
    entry.only(*RIGHTS, *BOUNDS)
    rights = entry.rights(ID, GROUP)
    if rights.uses(GROUP) and not any(entry.name in group.apply for group in groups.values()):
        message = f'{GROUP} has no value in template "{entry.name}": no group applies it'
        raise entry.error(message, remedy=f'Give a group apply = ["{entry.name}"], or write the name out.')
    return Template(entry.name, entry.line, rights, bounds=entry.bounds())


def _preset(entry: Entry) -> Template:
    use = entry.text("use")
    preset = PRESETS.get(use)
    if preset is None:
        found = f'there is no preset "{use}"' if "use" in entry else "use is missing"
        raise entry.error(found, *(["use"] if "use" in entry else []), remedy=suggest(use, PRESETS))
    entry.only("use", *preset.parameters, *BOUNDS)
    values = {name: _parameter(entry, preset, name) for name in preset.parameters}
    rights = entry.preset_rights(expand(preset, values))
    return Template(entry.name, entry.line, rights, use, entry.bounds())


def _parameter(entry: Entry, preset: Preset, name: str) -> tuple[str, ...]:
    """The levels that `name` stands for in the filters of `preset`."""
    default = preset.parameters[name]
    if name not in entry:
        if default is None:
            remedy = f'Write {name} = "..." beside use.'
            raise entry.error(f'preset "{preset.name}" needs {name}', "use", remedy=remedy)
        return default
    return entry.levels(name)


def _group(entry: Entry) -> Group:
    entry.only("members", "apply", *BOUNDS)
    members = entry.texts("members")
    for index, member in enumerate(members):
        if member.startswith(GROUP_PREFIX):
            raise entry.error(
                f'"{member}" is a group, and groups have no groups as members',
                "members",
                index,
                remedy="List its members here.",
            )
        if not MEMBER.fullmatch(member):
            raise entry.error(
                f'"{member}" cannot be a member',
                "members",
                index,
                remedy="Write an identity (1 to 64 letters, digits, - _ .), or a pattern with * and ?.",
            )
    return Group(entry.name, entry.line, members, entry.texts("apply"), entry.bounds())


def _grant(entry: Entry, groups: Mapping[str, Group]) -> Grant:
    entry.only("who", "from", "until", "for", "reason", *RIGHTS, *BOUNDS)
    starts, ends = entry.window()
    return Grant(
        entry.name,
        entry.line,
        who=entry.subjects("who", groups),
        rights=entry.some_rights(ID),
        starts=starts,
        ends=ends,
        reason=entry.text("reason"),
        bounds=entry.bounds(),
    )


def _deny(entry: Entry, groups: Mapping[str, Group]) -> Deny:
    entry.only("who", "except", *RIGHTS)
    who = entry.subjects("who", groups)
    exempt = entry.subjects("except", groups) if "except" in entry else Subjects()
    if exempt.everyone or (
        not who.everyone and who.identities <= exempt.identities and who.groups <= exempt.groups
    ):
        message = "this denies nobody: everyone it names is excepted"
        raise entry.error(message, "except", remedy="Except fewer, or remove the rule.")
    return Deny(entry.name, entry.line, who, exempt, entry.some_rights(ID))


def _check_applied(document: Document, rules: Rules) -> None:
    """Refuse groups that apply templates which do not exist."""
    for group in rules.groups.values():
        for index, name in enumerate(group.apply):
            if name not in rules.templates:
                message = f'there is no template "{name}"'
                remedy = suggest(name, rules.templates)
                raise document.error(message, "group", group.name, "apply", index, remedy=remedy)
