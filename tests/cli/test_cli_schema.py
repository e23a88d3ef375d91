import json
import subprocess
import sys
from importlib.resources import files

import pytest
from click.testing import CliRunner

from licfsm.cli.schema import schema


@pytest.mark.parametrize("kind", ["scenario", "policy"])
def test_a_schema_is_printed(kind: str) -> None:
    """The committed schema is printed, byte by byte."""
    result = CliRunner().invoke(schema, [kind])
    assert (0, (files("licfsm") / "schemas" / f"{kind}.json").read_text(encoding="utf-8")) == (
        result.exit_code,
        result.stdout,
    )
    assert f"licfsm {kind}" == json.loads(result.stdout)["title"]


def test_an_unknown_kind() -> None:
    """What there is no schema of is refused, and those that there are are told."""
    result = CliRunner().invoke(schema, ["license"])
    assert 2 == result.exit_code
    assert "'license' is not one of 'scenario', 'policy'" in result.stderr


def test_the_help_shows_the_line_for_an_editor() -> None:
    """The help tells the comment by which an editor finds the schema."""
    assert "# yaml-language-server: $schema=scenario.schema.json\n" in CliRunner().invoke(schema, ["--help"]).stdout


def test_msgspec_is_not_needed() -> None:
    """Printing a schema needs nothing that only development has."""
    program = (
        "import sys; sys.modules['msgspec'] = sys.modules['jsonschema'] = None;"
        "from licfsm.cli.schema import schema; schema(['policy'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "licfsm policy" == json.loads(done.stdout)["title"]
