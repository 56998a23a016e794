"""The inventory as text: what was seen in a network, one block a device or server, with nothing that can do harm."""

from bollard.assess.model import Asset, Report
from bollard.assess.report import words

#: Of a list, so many are shown; the canonical report has all of them.
MAX_SHOWN = 8
_TITLES = {"device": "Devices", "server": "Servers"}


def groups(report: Report) -> list[tuple[str, list[Asset]]]:
    """The assets by their kind, each kind with its title."""
    found: dict[str, list[Asset]] = {}
    for each in report.inventory:
        found.setdefault(each.kind, []).append(each)
    return [(_TITLES.get(kind, kind), assets) for kind, assets in found.items()]


def facts(asset: Asset) -> list[tuple[str, str]]:
    """What is known about an asset as pairs of label and text, cleaned, lists cut."""
    pairs: list[tuple[str, object]] = [("addresses", asset.addresses), ("network cards", asset.hardware)]
    pairs += asset.facts.items()
    return [(words.clean(name), _text(value)) for name, value in pairs if value not in ((), [], {})]


def _text(value: object) -> str:
    if isinstance(value, dict):
        parts = [f"{words.clean(str(key), 80)} ({count})" for key, count in value.items()]
    elif isinstance(value, list | tuple):
        parts = [words.clean(str(each), 120) for each in value]
    elif isinstance(value, bool):
        return "yes" if value else "no"
    else:
        return words.clean(str(value))
    more = f" and {len(parts) - MAX_SHOWN} more" if len(parts) > MAX_SHOWN else ""
    return ", ".join(parts[:MAX_SHOWN]) + more


def lines(report: Report, *, details: bool) -> list[str]:
    """The inventory for a terminal: one line a device or server, or everything about each."""
    out: list[str] = []
    for title, assets in groups(report):
        out += [f"{title} ({len(assets)}):"]
        for asset in assets:
            if details:
                out.append(f"  {words.clean(asset.name, 120)}")
                out += [f"    {name}: {text}" for name, text in facts(asset)]
            else:
                out.append(f"  {line(asset)}")
        out.append("")
    return out


def line(asset: Asset) -> str:
    """An asset in one line: what one looks for first."""
    parts = [words.clean(asset.name, 60)]
    parts += [_text([each for each in asset.addresses if each not in asset.name])] if asset.addresses else []
    parts += [_text(asset.hardware)] if asset.hardware else []
    parts += [_text(asset.facts[name]) for name in ("versions", "over") if name in asset.facts]
    if "messages sent" in asset.facts:
        parts.append(f"{asset.facts['messages sent']} messages")
    return "; ".join(part for part in parts if part)
