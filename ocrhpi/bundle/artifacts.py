"""What lies beside a bundle: the wheels that a device installs, and the recipe of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.bundle.dockerfile import dockerfile
from ocrhpi.bundle.notes import extras_of
from ocrhpi.bundle.runner import write_runner
from ocrhpi.bundle.wheelhouse import check_python, collect_wheels
from ocrhpi.errors import OptionError
from ocrhpi.files import told_as_output, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.bundle.targets import Target
    from ocrhpi.model import Model


@dataclass(frozen=True)
class Beside:
    """What is to be written as ``NAME.wheels`` and ``NAME.Dockerfile`` beside the bundle ``NAME`` or ``NAME.zip``.

    Attributes:
        bundle: The bundle.
        python: Version of the device's Python.
        platforms: Platform tags of the wheels to fetch, best first; empty fetches none.
        recipe: Whether to write the recipe of an image; the folder of wheels then holds at least the runner.
    """

    bundle: Path
    python: str
    platforms: tuple[str, ...] = ()
    recipe: bool = False

    @property
    def wheels(self) -> Path:
        """The folder of wheels."""
        return self._named("wheels")

    def check(self, target: Target) -> None:
        """Refuse what cannot be written, before the work begins.

        Raises:
            OptionError: The folder of wheels is not empty, the target needs more than the small runner, or ``python``
                does not fit.
        """
        if not (self.platforms or self.recipe):
            return
        check_python(self.python)
        if not target.small:
            problem = (
                f"received {target.name!r}, whose bundles the whole of ocrhpi reads: install ocrhpi[{target.engine}]"
            )
            raise OptionError("target", f"{problem} there; wheels and images are made for the small runner")
        if self.wheels.exists() and not (self.wheels.is_dir() and not any(self.wheels.iterdir())):
            raise OptionError("output", f"{self.wheels} is in the way; remove it, or choose another output")

    def write(self, model: Model, target: Target) -> list[Path]:
        """Write it; return what was written.

        Args:
            model: The model of the bundle.
            target: What the bundle is made for.

        Raises:
            OptionError: As for `check`.
            BackendUnavailable: There is no pip here.
            DownloadError: A wheel could not be fetched.
            OutputError: It cannot be written.
        """
        self.check(target)
        extras = extras_of(model, target)
        written = []
        if self.platforms:
            collect_wheels(self.wheels, extras, self.platforms, self.python)
            written = [self.wheels]
        elif self.recipe:
            write_runner(self.wheels)
            written = [self.wheels]
        if self.recipe:
            text = dockerfile(self.bundle.name, self.wheels.name, extras, self.python, offline=bool(self.platforms))
            file = self._named("Dockerfile")
            with told_as_output(file):
                write_atomically(file, text)
            written.append(file)
        return written

    def _named(self, suffix: str) -> Path:
        stem = self.bundle.with_suffix("") if self.bundle.suffix == ".zip" else self.bundle
        return stem.with_name(f"{stem.name}.{suffix}")
