import subprocess
import sys

import pytest

import licfsm

LATE = "httpx graphviz yaml cattrs click rich sqlalchemy transitions.extensions"


def loaded_after(code: str) -> set[str]:
    """Run code in a fresh interpreter, and name the modules that are loaded then."""
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], check=True, capture_output=True, text=True
    )
    return set(shown.stdout.split())


class TestPublicNames:
    @pytest.mark.parametrize("name", licfsm.__all__)
    def test_each_has_a_home(self, name: str) -> None:
        """Every public name can be had from the package, and is the thing of that name."""
        assert name == getattr(licfsm, name).__name__

    def test_they_are_complete(self) -> None:
        """Every name that is loaded lazily is public, and the other way round."""
        assert sorted(licfsm._HOMES) == licfsm.__all__

    def test_they_are_listed(self) -> None:
        """Completion in a shell finds them all."""
        assert set(licfsm.__all__) <= set(dir(licfsm))

    def test_a_star_import_gives_them(self) -> None:
        """What the package exports can all be imported at once."""
        assert loaded_after("from licfsm import *\nLicense, ManualClock, InvalidFile")

    def test_any_other_name_is_an_attribute_error(self) -> None:
        """A misspelled name is told as Python always does."""
        with pytest.raises(AttributeError, match="module 'licfsm' has no attribute 'Licence'"):
            licfsm.Licence  # noqa: B018

    def test_a_version_is_named(self) -> None:
        """The version has three numbers."""
        assert 3 == len([int(part) for part in licfsm.__version__.split(".")])


class TestImport:
    def test_costs_little(self) -> None:
        """Importing the package loads nothing that only some of its users need."""
        assert set() == loaded_after("import licfsm") & {*LATE.split(), "transitions", "pendulum", "attrs"}

    def test_of_the_license_loads_no_more_than_it_needs(self) -> None:
        """The core runs without the packages of the command line, the diagrams and the network."""
        assert set() == loaded_after("from licfsm import License, LicenseKey, ManualClock") & set(LATE.split())
