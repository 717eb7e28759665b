"""Whether the packages that only an extra installs are there, said before anything slow is done."""

from __future__ import annotations

from importlib.util import find_spec

from ocrhpi.errors import MissingExtra

_MODULES = {
    "serve": ("fastapi", "prometheus_client", "uvicorn"),
    "ray": ("ray", "fastapi", "prometheus_client", "uvicorn"),
}


def require(extra: str) -> None:
    """Check that what serving needs of the extra ``serve`` or ``ray`` is installed.

    Raises:
        MissingExtra: It is not.
    """
    missing = [module for module in _MODULES[extra] if find_spec(module) is None]
    if missing:
        raise MissingExtra(extra, f"serving needs {', '.join(missing)}, which is not installed")
