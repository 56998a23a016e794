"""How an enrollment or a renewal is refused: in words that the device's owner may read."""

from bollard.base.errors import BollardError

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, TOO_LARGE, UNAVAILABLE = 400, 401, 403, 413, 503


class EnrollmentRefused(BollardError):
    """A device's request is not granted, and nothing was issued.

    `status` is the HTTP status that says it best, whatever the transport. `text` goes to the device: it
    holds nothing that the asker has not proved or sent.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
