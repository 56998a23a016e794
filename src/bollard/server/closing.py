"""What can be used with `with` because it has a `close`."""

from types import TracebackType
from typing import Self


class Closing:
    """A context manager that ends with `close`, which its class has."""

    __slots__ = ()

    def close(self) -> None:
        """Let go of everything."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
