import pytest

import licfsm
from licfsm import errors


class TestTree:
    @pytest.mark.parametrize("name", [name for name in errors.__all__ if name not in {"Mistake", "LicfsmError"}])
    def test_every_error_is_a_licfsm_error(self, name: str) -> None:
        """A host catches all of them by one name."""
        assert issubclass(getattr(errors, name), errors.LicfsmError)

    def test_all_errors_are_public(self) -> None:
        """Every error that can be raised can be named from the package."""
        assert set(errors.__all__) <= set(licfsm.__all__)

    def test_an_invalid_value_is_a_value_error(self) -> None:
        """Code that knows nothing of this package catches a wrong value as usual."""
        assert issubclass(errors.InvalidValue, ValueError)


class TestMistake:
    def test_is_written_so_that_editors_find_it(self) -> None:
        """A mistake is told as file:line:column: message."""
        assert "a.yaml:3:7: no such word" == str(errors.Mistake("a.yaml", 3, 7, "no such word"))


class TestInvalidFile:
    mistakes = (
        errors.Mistake("a.yaml", 10, 1, "third"),
        errors.Mistake("a.yaml", 9, 12, "second"),
        errors.Mistake("a.yaml", 9, 2, "first"),
    )

    def test_has_its_mistakes_in_the_order_of_the_file(self) -> None:
        """Mistakes are sorted by line and column, as numbers."""
        assert ["first", "second", "third"] == [
            mistake.message for mistake in errors.InvalidFile(list(self.mistakes)).mistakes
        ]

    def test_tells_all_of_them_at_once(self) -> None:
        """The message has a line for each."""
        assert "a.yaml:9:2: first\na.yaml:9:12: second\na.yaml:10:1: third" == str(
            errors.InvalidFile(list(self.mistakes))
        )
