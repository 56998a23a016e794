"""Names that mean something to some language or program are plain names here, wherever a peer may choose one."""

import pytest

from support.memory import House

NAMES = [
    "__proto__",
    "constructor",
    "__class__",
    "__init__",
    "toString",
    "None",
    "*",
    ">",
    "a.b",
    "%s%n",
    "{0.__class__}",
    "../../etc/passwd",
    "'; drop table message; --",
    "<script>alert(1)</script>",
    "\x1b[2J",
    "line\r\nbreak",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_magic_name_is_a_name_like_any_other(name: str) -> None:
    house = House(durable=True)
    reader = house.connect(f"reader {name}", clean=False, expiry=600, principal=name)
    reader.subscribe(f"t/{name}", f"t/{name}/#", f"$share/g{len(name)}/s/{name}")
    author = house.connect(name)
    author.publish(f"t/{name}", b"topic", retain=True, qos=1)
    author.publish(f"s/{name}", b"shared", qos=1)
    assert sorted(reader.payloads()) == [b"shared", b"topic"]
    late = house.connect("late")
    late.subscribe(f"t/{name}")
    assert late.payloads() == [b"topic"]
    others = house.connect("others")
    others.subscribe("t/other", "t/+/nothing")
    assert others.payloads() == []
