"""Build of the hot modules: a file is hot because a `.pxd` of its own name lies beside it.

So is a `.pyx`, which is for what only C can do and has no twin in Python: the project must run without it.
A `.pxd` that holds nothing but inline functions is compiled into those that use it; the `.py` beside it says the same
in Python.

A failed compilation fails the installation. `BOLLARD_PURE=1` installs the same source
uncompiled; `bollard --version` says which variant runs.
"""

import os
from pathlib import Path

from setuptools import setup

SOURCE = Path("src")
#: Those of inline functions alone.
INLINE = {SOURCE / "bollard" / room for room in ("base/memory.pxd", "net/clock.pxd", "net/sockets.pxd")}


def hot_modules() -> list[str]:
    """Paths of the `.py` files that have a sibling `.pxd`, and of the `.pyx` files."""
    return sorted(
        str(pxd.with_suffix(".py"))
        for pxd in SOURCE.rglob("*.pxd")
        if pxd.with_suffix(".py").exists() and pxd not in INLINE
    ) + sorted(str(pyx) for pyx in SOURCE.rglob("*.pyx"))


def extensions() -> list[object]:
    if os.environ.get("BOLLARD_PURE") == "1":
        return []
    from Cython.Build import cythonize
    from Cython.Compiler import Options
    from setuptools import Extension

    Options.warning_errors = True
    modules = [
        Extension(
            str(Path(path).relative_to(SOURCE).with_suffix("")).replace(os.sep, "."),
            [path],
            extra_compile_args=["-O2", "-g0"],
        )
        for path in hot_modules()
    ]
    built: list[object] = cythonize(
        modules,
        build_dir="build/cython",
        nthreads=os.cpu_count() or 1,
        language_level=3,
        compiler_directives={
            # `n: int` in the source keeps its meaning; the C type stands in the `.pxd`.
            "annotation_typing": False,
            "embedsignature": True,
            "warn.undeclared": False,
        },
    )
    return built


setup(
    ext_modules=extensions(),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
