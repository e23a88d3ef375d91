"""The root of the command line."""

from __future__ import annotations

import click

from licfsm import __version__
from licfsm.cli.demo import demo
from licfsm.cli.devserver import devserver
from licfsm.cli.diagrams import diagrams
from licfsm.cli.doctor import doctor
from licfsm.cli.explain import explain
from licfsm.cli.key import key
from licfsm.cli.notify import notify
from licfsm.cli.replay import replay
from licfsm.cli.schema import schema

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="licfsm")
def main() -> None:
    """Run the life of licenses: replay timelines, explain them, draw the lifecycle, sign and verify keys."""


main.add_command(devserver)
main.add_command(demo)
main.add_command(diagrams)
main.add_command(doctor)
main.add_command(explain)
main.add_command(key)
main.add_command(notify)
main.add_command(replay)
main.add_command(schema)
