"""``ocrhpi backends``: what is installed on this machine, what is not, and how to install it."""

from __future__ import annotations

import click

from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.output import say


@click.command("backends", help="Show which engines this machine has.")
def command() -> None:  # noqa: D103 - click documents it
    specs = backend_specs()
    width = max(len(name) for name in specs)
    for name, spec in specs.items():
        state = availability(spec)
        if state.available:
            say(f"{name:<{width}}  available  {', '.join(spec.modules)} {state.version or '(version unknown)'}")
        else:
            say(f"{name:<{width}}  missing    {state.reason}; install it with: {spec.install}")
        if spec.unverified:
            say(f"{'':<{width}}  not yet run on hardware, tested with doubles: {spec.unverified}")
