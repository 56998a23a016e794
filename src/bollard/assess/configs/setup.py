"""What is found in a configuration, in the same words for every broker: traits, each with its place.

A trait is one thing that a check asks for, as it is in effect, with the key, the value and the place that make it so.
Readers of products make traits; checks judge by them alone.
"""

from pathlib import Path

import msgspec

from bollard.assess.configs.source import Place, Setting, Unread, shown
from bollard.assess.model import Evidence, Severity


class Trait(msgspec.Struct, frozen=True, kw_only=True):
    """`weak` None means that the file does not settle it. `said` is a sentence; `write` what to write instead.

    `line` 0 means a default, or something that is missing; `file` is where one would write it then.
    """

    check: str
    weak: bool | None
    said: str
    key: str = ""
    value: str = ""
    file: str = ""
    line: int = 0
    write: str = ""
    severity: Severity | None = None


class Setup(Evidence, frozen=True, kw_only=True):
    """One configuration of one broker. `absent` says, by id, why a check has nothing to judge by."""

    product: str
    version: str
    file: str
    files: tuple[str, ...] = ()
    traits: tuple[Trait, ...] = ()
    unread: tuple[str, ...] = ()
    absent: dict[str, str] = {}


class Traits:
    """Collects the traits of one configuration."""

    __slots__ = ("_absent", "_file", "_found")

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: list[Trait] = []
        self._absent: dict[str, str] = {}

    def add(
        self,
        check: str,
        weak: bool | None,
        said: str,
        setting: Setting | None = None,
        *,
        place: Place | None = None,
        write: str = "",
        severity: Severity | None = None,
    ) -> None:
        """Add one trait; `check` is the number alone, such as "01"."""
        where = place or (setting.place if setting else Place(self._file))
        self._found.append(
            Trait(
                check=f"CFG-{check}",
                weak=weak,
                said=said,
                key=setting.key if setting else "",
                value=shown(setting.value) if setting else "",
                file=where.file or self._file,
                line=where.line,
                write=write,
                severity=severity,
            )
        )

    def absent(self, reason: str, *checks: str) -> None:
        """Say why `checks` have nothing to judge by."""
        self._absent.update({f"CFG-{check}": reason for check in checks})

    def unread(self, unread: list[Unread]) -> None:
        """The traits of what was not understood: unknown keys, and everything else."""
        for each in unread:
            unknown = each.reason.startswith("unknown")
            said = f"{each.reason}: {each.text}" if each.text else each.reason
            self.add("26" if unknown else "29", True, said, place=each.place)
        if not any(trait.check == "CFG-26" for trait in self._found):
            self.add("26", False, "every key is one that the product knows")
        if not any(trait.check == "CFG-29" for trait in self._found):
            self.add("29", False, "every line was understood")

    def private(self, path: Path, setting: Setting) -> None:
        """Whether the file at `path`, which holds secrets, is closed to others. One that is not here says nothing."""
        try:
            mode = path.stat().st_mode & 0o777
        except (OSError, ValueError):
            return
        open_ = bool(mode & 0o007)
        said = f"the file {shown(str(path))} has mode {mode:04o}" + (
            ": every user of the machine can read it" if open_ else ""
        )
        self.add("17", open_, said, setting, write=f"chmod 0600 {shown(str(path))}" if open_ else "")

    def setup(self, product: str, version: str, files: list[str], unread: list[Unread]) -> Setup:
        """All of it as evidence."""
        return Setup(
            product=product,
            version=version,
            file=self._file,
            files=tuple(files),
            traits=tuple(self._found),
            unread=tuple(map(str, unread)),
            absent=self._absent,
        )
