"""Topic names and topic filters: which are legal, what matches what, which filter holds another.

Pure functions over strings, for all versions. Who may use a topic, and what its levels mean, is not decided
here. Levels are what stands between slashes; an empty level is a level. [MQTT5-4.7.1]
"""

from bollard.base.errors import MalformedPacket, PeerError

_SHARE = "$share/"


def check_topic_name(topic: str, max_levels: int = 128) -> None:
    """Raise `MalformedPacket` unless `topic` is a topic name, `PeerError` 0x90 for too many levels.

    A topic name has at least one character, at most 65,535 bytes of UTF-8, no wildcard and no NUL. More than
    `max_levels` levels is correctly formed and not accepted, which is just what 0x90 says. [MQTT5-3.14.2.1]
    """
    fault = _text_fault(topic)
    if fault:
        raise MalformedPacket(f"a topic name {fault}", "MQTT5-4.7.3-1")
    if "+" in topic or "#" in topic:
        raise MalformedPacket("a topic name must not hold a wildcard", "MQTT5-3.3.2-2")
    # Attack: topics of tens of thousands of levels, which cost a tree node each.
    if topic.count("/") >= max_levels:
        raise PeerError(0x90, f"a topic name has more than {max_levels} levels")


def check_filter(filter: str, max_levels: int = 128) -> None:
    """Raise `PeerError` 0x8F unless `filter` is a topic filter, shared or not.

    `#` must be the whole last level and `+` a whole level. A shared filter is `$share/`, a group of at least
    one character without wildcard, `/`, and a filter; its levels are those of the inner filter.
    """
    fault = _text_fault(filter)
    if fault:
        raise PeerError(0x8F, f"a topic filter {fault}", "MQTT5-4.7.3-1")
    inner = filter
    if filter.startswith(_SHARE):
        group, slash, inner = filter[7:].partition("/")
        if not group or not slash or not inner:
            raise PeerError(0x8F, "a shared filter is $share/GROUP/FILTER", "MQTT5-4.8.2-1")
        if "+" in group or "#" in group:
            raise PeerError(0x8F, "the group of a shared filter must not hold a wildcard", "MQTT5-4.8.2-2")
    # Attack: filters of tens of thousands of levels, which cost a tree node each.
    if inner.count("/") >= max_levels:
        raise PeerError(0x8F, f"a topic filter has more than {max_levels} levels")
    if "#" in inner and not (inner == "#" or (inner.endswith("/#") and inner.count("#") == 1)):
        raise PeerError(0x8F, "# must be the whole last level of a filter", "MQTT5-4.7.1-1")
    if "+" in inner:
        for level in inner.split("/"):
            if "+" in level and level != "+":
                raise PeerError(0x8F, "+ must be a whole level of a filter", "MQTT5-4.7.1-2")


def _text_fault(text: str) -> str:
    """What both kinds must hold: the end of a sentence about the fault, or nothing."""
    if not text:
        return "must have at least one character"
    if "\0" in text:
        return "must not hold U+0000"
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            return "must not hold surrogates"
    return "must not be longer than 65,535 bytes" if size > 65_535 else ""


def split_share(filter: str) -> tuple[str, str]:
    """(group, inner filter) of a shared filter, ("", filter) of any other.

    For filters that `check_filter` accepts; an incomplete `$share/...` is returned as if it were not shared.
    """
    if not filter.startswith(_SHARE):
        return "", filter
    group, _, inner = filter[7:].partition("/")
    return (group, inner) if group and inner else ("", filter)


def matches(filter: str, topic: str) -> bool:
    """Does `filter`, which is not shared, match the topic name `topic`?

    A wildcard at the first level never matches a topic that begins with `$`. [MQTT5-4.7.2-1]
    """
    if filter == topic:
        return True
    if topic.startswith("$") and not filter.startswith("$"):
        return False
    wanted = filter.split("/")
    levels = topic.split("/")
    count = len(levels)
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= count or (level != "+" and level != levels[index]):
            return False
    return len(wanted) == count


def contains(granted: str, requested: str) -> bool:
    """Is every topic that `requested` matches also matched by `granted`? Both are filters that are not shared.

    Exact for all legal filters: `#` and `+/#` hold each other; `#` holds `+/x` but not `$SYS/#`. A filter that
    is not legal is held by nothing but itself and filters that hold it word for word.
    """
    if granted == requested:
        return True
    if requested.startswith("$") and not granted.startswith("$"):
        return False
    outer = granted.split("/")
    # `#` matches what `+/#` matches, as no topic has zero levels; elsewhere `a/#` matches `a`, `a/+/#` does not.
    inner = ["+", "#"] if requested == "#" else requested.split("/")
    count = len(inner)
    for index, level in enumerate(outer):
        if level == "#":
            return True
        if index >= count or inner[index] == "#":
            return False
        if level != "+" and level != inner[index]:
            return False
    return len(outer) == count
