"""Who is who in a capture: devices by client id, by what stands in for one, or by address alone; and servers.

Both tables are bounded; what finds no room is told to `unread`.
"""

from collections.abc import Callable

from bollard.assess.capture import masking
from bollard.assess.capture.devices import MAX_DEVICES, MAX_NAME, MAX_SERVERS, Device, ServerNotes, add
from bollard.assess.capture.flow import Flow
from bollard.wire.connect import Connect
from bollard.wire.spec import V5


class Roster:
    """All devices and servers of one capture."""

    def __init__(self, unread: Callable[[str], None]) -> None:
        self.devices: dict[str, Device] = {}
        self.servers: dict[tuple[str, int], ServerNotes] = {}
        self._unread = unread
        self._waiting = 0
        self._titles: dict[str, str] = {}
        self._same_titles: dict[str, int] = {}

    def server(self, flow: Flow, frame: int, time_ns: int) -> ServerNotes | None:
        """The notes on the server of `flow`; None when there is no room for another."""
        key = (flow.server, flow.server_port)
        found = self.servers.get(key)
        if found is None:
            if len(self.servers) >= MAX_SERVERS:
                self._unread("connections to servers beyond those that are listed")
                return None
            found = self.servers[key] = ServerNotes(*key, flow.place(frame, time_ns))
        add(found.cards, flow.server_mac)
        return found

    def device(self, client_id: str, flow: Flow, time_ns: int) -> Device:
        """The device of that id or, for "", what is known by that address alone."""
        name = client_id[:MAX_NAME]
        if name:
            return self._entered(f"id {name}", Device(name, time_ns, name, connected=True), flow, time_ns)
        return self._entered(f"at {flow.client}", Device(flow.client, time_ns), flow, time_ns)

    def _entered(self, key: str, made: Device, flow: Flow, time_ns: int) -> Device:
        """The device of that key, which is `made` if there was none; one for all of those beyond the bound."""
        found = self.devices.get(key)
        if found is None:
            if len(self.devices) >= MAX_DEVICES:
                self._unread("packets of devices beyond those that are listed")
                key, made = "", Device("others", time_ns)
            found = self.devices.setdefault(key, made)
        found.last_ns = time_ns
        add(found.addresses, flow.client)
        add(found.cards, flow.client_mac)
        add(found.servers, flow.target)
        return found

    def unnamed(self, packet: Connect, flow: Flow, time_ns: int) -> Device:
        """The device of a CONNECT without client id, which is known by its address and its user name.

        In 5.0 the server may give it an id: until the answer it is a device of its own, for `settle`.
        """
        user = packet.username or ""
        key = f"unnamed {flow.client} {masking.digest(user.encode())}"
        made = Device(self._title(key, flow.client, user), time_ns, connected=True)
        if packet.version != V5:
            return self._entered(key, made, flow, time_ns)
        self._waiting += 1
        made.waits = (f"connection {self._waiting}", key)
        return self._entered(made.waits[0], made, flow, time_ns)

    def _title(self, key: str, address: str, user: str) -> str:
        """The name of a device without client id. User names are masked, so that two may look the same."""
        known = self._titles.get(key)
        if known is not None:
            return known
        title = f"{address} (no client id{f', user {masking.mask(user)}' if user else ''})"
        if len(self._titles) >= MAX_DEVICES:
            return title
        same = self._same_titles[title] = self._same_titles.get(title, 0) + 1
        made = self._titles[key] = f"{title} no. {same}" if same > 1 else title
        return made

    def settle(self, device: Device, assigned: str = "") -> Device:
        """The device that one without client id turns out to be: of the id that CONNACK assigned, or of none."""
        if device.waits is None:
            return device
        before, key = device.waits
        device.waits = None
        self.devices.pop(before, None)
        if assigned:
            device.name = device.client_id = assigned[:MAX_NAME]
            device.assigned = True
            key = f"id {device.name}"
        found = self.devices.setdefault(key, device)
        if found is not device:
            found.absorb(device)
        return found
