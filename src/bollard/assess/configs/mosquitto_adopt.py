"""From a Mosquitto broker to ours: the whole of it, in memory. Nothing is written and nobody is enrolled."""

from pathlib import Path

from bollard.assess.configs.adoption import Adoption, Kind
from bollard.assess.configs.mosquitto_config import ConfigMaker
from bollard.assess.configs.mosquitto_effective import Mosquitto
from bollard.assess.configs.mosquitto_policy import PolicyMaker

_POLICY_LINE = 'policy = "policy.toml"\n'
_CARRIED = """
# The passwords that were carried over are checked as long as this is true. Remove it when everybody has a new
# credential: bollard devices rotate NAME
allow_human_passwords = true
"""


def adopt(path: Path, version: str = "", *, passwords: bool = True) -> Adoption:
    """What the mosquitto.conf at `path` becomes. Raises nothing for what the files hold.

    With `passwords`, those whose hashes can be checked here are carried over.
    """
    broker = Mosquitto(path, version)
    adoption = Adoption(str(path), broker.version)
    ConfigMaker(broker, adoption).make()
    PolicyMaker(broker, adoption, passwords=passwords).make()
    _carry_passwords(broker, adoption)
    _tell_always(broker, adoption)
    adoption.unread = list(broker.reading.unread)
    adoption.foreign = broker.file.foreign
    return adoption


def _carry_passwords(broker: Mosquitto, adoption: Adoption) -> None:
    """Let the configuration check passwords that people chose, if some are carried over, and say what that means."""
    carried = len(adoption.carried)
    if not carried:
        return
    head, line, rest = adoption.config.partition(_POLICY_LINE)
    adoption.config = head + line + _CARRIED + rest
    adoption.note(
        Kind.BY_HAND,
        f"{carried} passwords count as they are until their next rotation: bollard devices rotate NAME. A generated "
        "one is stronger, and can be proved without being sent.",
    )
    if any(each.stored.reveal().startswith(b"$6$") for each in adoption.carried):
        text = "Passwords that are kept as one round of SHA-512 are guessed fast by whoever has seen the old file: rotate those first."
        adoption.note(Kind.BY_HAND, text)
    if any(not (listener.encrypted or listener.loopback or listener.unix) for listener in broker.listeners):
        text = (
            "The old broker took passwords without encryption: whoever listened knows them. Rotate them soon."
        )
        adoption.note(Kind.BY_HAND, text)


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
