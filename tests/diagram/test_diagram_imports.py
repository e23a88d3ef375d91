from __future__ import annotations

import subprocess
import sys


def test_importing_the_package_draws_nothing_in() -> None:
    """Neither the package nor the running engine imports graphviz or this folder."""
    code = (
        "import sys, licfsm, licfsm.license, licfsm.cli.main;"
        "print([name for name in sys.modules if name == 'graphviz' or name.startswith('licfsm.diagram')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
