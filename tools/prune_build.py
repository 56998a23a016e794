"""Deletes from build/lib* whatever has no source any more.

setuptools copies into that folder and never removes: a deleted module, or an extension whose `.pxd`
is gone, would otherwise travel into the next wheel and shadow the source.
"""

import sys
from pathlib import Path

SOURCE = Path("src")


def has_source(built: Path, root: Path) -> bool:
    """Whether `built`, a file below the build folder `root`, is still made from something in src/."""
    relative = built.relative_to(root)
    if built.suffix == ".so":
        module = SOURCE / relative.parent / relative.name.split(".")[0]
        hot = module.with_suffix(".pxd").exists() and module.with_suffix(".py").exists()
        return hot or module.with_suffix(".pyx").exists()
    return (SOURCE / relative).exists()


def main() -> int:
    for root in Path("build").glob("lib*"):
        for built in sorted(root.rglob("*")):
            if built.is_file() and not has_source(built, root):
                built.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
