"""Hypothesis strategies that make every legal packet of both versions."""

from hypothesis import strategies as st

from bollard.wire.codec import Packet
from bollard.wire.connect import Auth, Connack, Connect, Disconnect, Pingreq, Pingresp, Will
from bollard.wire.properties import PROPERTY_TABLE, Properties
from bollard.wire.publish import Ack, Publish, encode_publish
from bollard.wire.spec import REASON_CODES, REASON_OF_RETURN_CODE, WILL_PROPERTIES, PacketType
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter, Unsuback, Unsubscribe

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
TOPIC = st.text(st.characters(exclude_characters="\0+#", exclude_categories=["Cs"]), min_size=1, max_size=20)
DATA = st.binary(max_size=40)
U16 = st.integers(0, 0xFFFF)
PACKET_ID = st.integers(1, 0xFFFF)
FLAG = st.integers(0, 1)
QOS = st.integers(0, 2)

_VALUES = {
    "payload_format_indicator": FLAG,
    "message_expiry_interval": st.integers(0, 0xFFFFFFFF),
    "content_type": TEXT,
    "response_topic": TOPIC,
    "correlation_data": DATA,
    "subscription_identifiers": st.lists(st.integers(1, 268_435_455), max_size=3).map(tuple),
    "session_expiry_interval": st.integers(0, 0xFFFFFFFF),
    "assigned_client_identifier": TEXT,
    "server_keep_alive": U16,
    "authentication_method": TEXT,
    "authentication_data": DATA,
    "request_problem_information": FLAG,
    "will_delay_interval": st.integers(0, 0xFFFFFFFF),
    "request_response_information": FLAG,
    "response_information": TEXT,
    "server_reference": TEXT,
    "reason_string": TEXT,
    "receive_maximum": st.integers(1, 0xFFFF),
    "topic_alias_maximum": U16,
    "topic_alias": st.integers(1, 0xFFFF),
    "maximum_qos": FLAG,
    "retain_available": FLAG,
    "user_properties": st.lists(st.tuples(TEXT, TEXT), max_size=4).map(tuple),
    "maximum_packet_size": st.integers(1, 0xFFFFFFFF),
    "wildcard_subscription_available": FLAG,
    "subscription_identifiers_available": FLAG,
    "shared_subscription_available": FLAG,
}


@st.composite
def properties(draw: st.DrawFn, packet: int) -> Properties:
    """Any legal set of properties of `packet`."""
    names = [name for name, _, _, packets in PROPERTY_TABLE.values() if packet in packets]
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=5))
    values = {name: draw(_VALUES[name]) for name in chosen}
    if packet == PacketType.SUBSCRIBE:
        values["subscription_identifiers"] = values.get("subscription_identifiers", ())[:1]
    if packet == PacketType.AUTH or "authentication_data" in values:
        values.setdefault("authentication_method", draw(TEXT))
    return Properties(**values)


def _properties(packet: int, version: int) -> st.SearchStrategy[Properties]:
    return properties(packet) if version == 5 else st.builds(Properties)


def wills(version: int) -> st.SearchStrategy[Will]:
    return st.builds(Will, TOPIC, DATA, QOS, st.booleans(), _properties(WILL_PROPERTIES, version))


@st.composite
def connects(draw: st.DrawFn, version: int) -> Connect:
    username = draw(st.none() | TEXT)
    password = draw(st.none() | DATA) if version == 5 or username is not None else None
    return Connect(
        version,
        draw(st.booleans()),
        draw(U16),
        draw(TEXT),
        username,
        password,
        draw(st.none() | wills(version)),
        draw(_properties(PacketType.CONNECT, version)),
    )


@st.composite
def connacks(draw: st.DrawFn, version: int) -> Connack:
    codes = REASON_CODES[PacketType.CONNACK] if version == 5 else REASON_OF_RETURN_CODE.values()
    code = int(draw(st.sampled_from(sorted(codes))))
    return Connack(code == 0 and draw(st.booleans()), code, draw(_properties(PacketType.CONNACK, version)))


@st.composite
def publishes(draw: st.DrawFn, version: int) -> Publish:
    qos = draw(QOS)
    own = draw(_properties(PacketType.PUBLISH, version))
    topic = draw(TEXT if own.topic_alias else TOPIC).encode()
    dup = draw(FLAG) if qos else 0
    packet_id = draw(PACKET_ID) if qos else 0
    data = encode_publish(
        topic,
        draw(DATA),
        qos=qos,
        retain=draw(FLAG),
        dup=dup,
        packet_id=packet_id,
        version=version,
        properties=own,
    )
    packet = Publish()
    packet.decode(data, data[0], 2 if data[1] < 128 else 3, len(data), version)
    return packet


@st.composite
def acks(draw: st.DrawFn, version: int) -> Ack:
    packet_type = int(draw(st.sampled_from([4, 5, 6, 7])))
    if version != 5:
        return Ack(packet_type, draw(PACKET_ID))
    code = draw(st.sampled_from(sorted(REASON_CODES[packet_type])))
    return Ack(packet_type, draw(PACKET_ID), code, draw(st.none() | properties(packet_type)))


@st.composite
def filters(draw: st.DrawFn, version: int) -> SubscribeFilter:
    if version != 5:
        return SubscribeFilter(draw(TEXT), draw(QOS))
    text = draw(TEXT)
    no_local = draw(st.booleans()) and not text.startswith("$share/")
    return SubscribeFilter(text, draw(QOS), no_local, draw(st.booleans()), draw(st.integers(0, 2)))


def packets(version: int) -> st.SearchStrategy[Packet]:
    """Any packet that `version` can say."""
    codes = {
        packet: st.lists(st.sampled_from(sorted(REASON_CODES[packet])), min_size=1, max_size=5).map(tuple)
        for packet in (PacketType.SUBACK, PacketType.UNSUBACK)
    }
    granted = codes[PacketType.SUBACK] if version == 5 else st.just((0, 1, 2, 0x80))
    gone = codes[PacketType.UNSUBACK] if version == 5 else st.just(())
    some_filters = st.lists(filters(version), min_size=1, max_size=4).map(tuple)
    some_texts = st.lists(TEXT, min_size=1, max_size=4).map(tuple)
    kinds: list[st.SearchStrategy[Packet]] = [
        connects(version),
        connacks(version),
        publishes(version),
        acks(version),
        st.builds(Subscribe, PACKET_ID, some_filters, _properties(PacketType.SUBSCRIBE, version)),
        st.builds(Suback, PACKET_ID, granted, _properties(PacketType.SUBACK, version)),
        st.builds(Unsubscribe, PACKET_ID, some_texts, _properties(PacketType.UNSUBSCRIBE, version)),
        st.builds(Unsuback, PACKET_ID, gone, _properties(PacketType.UNSUBACK, version)),
        st.builds(Pingreq),
        st.builds(Pingresp),
    ]
    if version == 5:
        goodbye = st.sampled_from(sorted(REASON_CODES[PacketType.DISCONNECT]))
        step = st.sampled_from(sorted(REASON_CODES[PacketType.AUTH]))
        kinds.append(st.builds(Disconnect, goodbye, properties(PacketType.DISCONNECT)))
        kinds.append(st.builds(Auth, step, properties(PacketType.AUTH)))
    else:
        kinds.append(st.builds(Disconnect))
    return st.one_of(kinds)
