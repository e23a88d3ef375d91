import subprocess
import sys

import pytest
from click.testing import CliRunner

import licfsm
from licfsm.cli.main import main


class TestMain:
    def test_version(self) -> None:
        """The version is the package's."""
        assert (
            f"licfsm, version {licfsm.__version__}\n"
            == CliRunner().invoke(main, ["--version"], prog_name="licfsm").output
        )

    @pytest.mark.parametrize("option", ["-h", "--help"])
    def test_help(self, option: str) -> None:
        """The help lists the commands."""
        shown = CliRunner().invoke(main, [option])
        assert (0, True) == (shown.exit_code, "replay" in shown.output)

    def test_an_unknown_command(self) -> None:
        """A command that does not exist is a wrong use."""
        assert 2 == CliRunner().invoke(main, ["reply"]).exit_code

    def test_as_a_module(self) -> None:
        """``python -m licfsm`` is the same command line."""
        shown = subprocess.run(
            [sys.executable, "-m", "licfsm", "--version"], capture_output=True, text=True, check=True
        )
        assert shown.stdout.endswith(f"version {licfsm.__version__}\n")
