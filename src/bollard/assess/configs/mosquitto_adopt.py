"""From a Mosquitto broker to ours: the whole of it, in memory. Nothing is written and nobody is enrolled."""

from pathlib import Path

from bollard.assess.configs.adoption import Adoption, Kind
from bollard.assess.configs.mosquitto_config import ConfigMaker
from bollard.assess.configs.mosquitto_effective import Mosquitto
from bollard.assess.configs.mosquitto_policy import PolicyMaker


def adopt(path: Path, version: str = "") -> Adoption:
    """What the mosquitto.conf at `path` becomes. Raises nothing for what the files hold."""
    broker = Mosquitto(path, version)
    adoption = Adoption(str(path), broker.version)
    ConfigMaker(broker, adoption).make()
    PolicyMaker(broker, adoption).make()
    _tell_always(broker, adoption)
    adoption.unread = list(broker.reading.unread)
    return adoption


def _tell_always(broker: Mosquitto, adoption: Adoption) -> None:
    text = (
        "A subscription must lie wholly within what is granted. Mosquitto accepted wider ones and kept back what was "
        "not allowed; here they are refused, and bollard why says which filter would do."
    )
    adoption.note(Kind.CHANGED, text)
    adoption.note(
        Kind.SAFER,
        "Rights are asked again at every delivery, for who wrote the message and for who gets it; a right that ends, "
        "ends at once.",
    )
    adoption.note(
        Kind.SAFER,
        "A session belongs to an identity and its client id together: nobody can take over the session of another.",
    )
    if any(listener.security.anonymous.on for listener in broker.listeners):
        text = "Clients without a name are still let in, as before. Enroll them one by one, then remove allow_anonymous."
        adoption.note(Kind.BY_HAND, text)
