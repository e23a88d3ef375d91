import functools
from collections.abc import AsyncIterator

import pytest

import licfsm
from licfsm.adapters.functions import see_that_it_returns


class TestSeeThatItReturns:
    """An adapter is called as a plain function; what only promises to work is told where it is given."""

    def test_takes_functions_and_objects_that_are_called(self) -> None:
        """Whatever returns when it is done."""

        class Called:
            def __call__(self, _what: object) -> None:
                """Do it."""

        for given in (len, Called(), functools.partial(print), "".join):
            see_that_it_returns(given, "it")

    def test_refuses_what_is_asynchronous(self) -> None:
        """A coroutine function, a part of one, a generator, an object that is called as one."""

        async def later() -> None:
            """Promise it."""

        async def bit_by_bit() -> AsyncIterator[int]:
            yield 1

        class Called:
            async def __call__(self) -> None:
                """Promise it."""

        for given in (later, functools.partial(later), bit_by_bit, Called()):
            with pytest.raises(licfsm.InvalidValue, match=r"^it is asynchronous; give a function that returns when"):
                see_that_it_returns(given, "it")

    @pytest.mark.parametrize("given", [None, 5, "print"])
    def test_refuses_what_is_no_function(self, given: object) -> None:
        """Nothing that cannot be called."""
        with pytest.raises(licfsm.InvalidValue, match=r"^it must be a function, not a value of type"):
            see_that_it_returns(given, "it")

    @pytest.mark.parametrize(("takes", "told"), [(0, "no arguments"), (1, "1 argument"), (2, "2 arguments")])
    def test_refuses_what_takes_other_arguments(self, takes: int, told: str) -> None:
        """It would fail whenever it is called."""
        with pytest.raises(licfsm.InvalidValue, match=f"^it must be a function that can be called with {told}$"):
            see_that_it_returns(lambda _one, _two, _three: None, "it", takes=takes)

    def test_takes_what_nobody_can_tell_of(self) -> None:
        """Some functions of the interpreter do not say what they take."""
        see_that_it_returns(dict, "it")
