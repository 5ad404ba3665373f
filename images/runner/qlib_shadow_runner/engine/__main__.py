"""`python -m qlib_shadow_runner.engine`: compile every kernel into the package's own folder, for an image."""

from __future__ import annotations

import os

from qlib_shadow_runner.engine import compiling


def main() -> None:
    """Compile the kernels by importing their modules."""
    compiling.IN_IMAGE.mkdir(exist_ok=True)
    os.environ[compiling.ENV_CACHE] = str(compiling.IN_IMAGE)
    from qlib_shadow_runner.engine import kernels, running  # noqa: F401, PLC0415 - the folder is set first


if __name__ == "__main__":
    main()
