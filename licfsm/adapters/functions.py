"""What a host gives to be called: a plain function, which has done its work when it returns."""

from __future__ import annotations

import inspect

from licfsm.errors import InvalidValue

__all__ = ["see_that_it_returns"]


def see_that_it_returns(function: object, what: str, *, takes: int = 1) -> None:
    """See that something is to be called as a plain function: what returns a coroutine would do nothing.

    Args:
        function: whatever was given.
        what: what it is, for the message.
        takes: with how many arguments it is called.

    Raises:
        InvalidValue: it cannot be called so, or is asynchronous.

    """
    if not callable(function):
        message = f"{what} must be a function, not a value of type {type(function).__name__}"
        raise InvalidValue(message)
    if any(
        test(it)
        for test in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        for it in (function, getattr(function, "__call__", None))  # noqa: B004 - an object's own, if it is no function
    ):
        message = f"{what} is asynchronous; give a function that returns when all is done"
        raise InvalidValue(message)
    try:
        inspect.signature(function).bind(*[None] * takes)
    except TypeError:
        message = f"{what} must be a function that can be called with {takes or 'no'} argument{'s'[takes == 1 :]}"
        raise InvalidValue(message) from None
    except ValueError:
        return  # of a function that is not written in Python nobody can tell
