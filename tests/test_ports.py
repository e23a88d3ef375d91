import pytest

import licfsm


class TestAnswer:
    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ({"outcome": "uptodate"}, "outcome must be one of new_key, up_to_date"),
            ({"outcome": 5}, "outcome must be one of"),
            ({"outcome": "new_key"}, "new_key comes with its key"),
            ({"outcome": "connection_failed", "retry_after": "1 hour"}, "retry_after must be whole milliseconds"),
            ({"outcome": "up_to_date", "signed_time": 1.5}, "signed_time must be whole milliseconds"),
            ({"outcome": "connection_failed", "detail": None}, "detail must be text, not None"),
            ({"outcome": "up_to_date", "signed_time": True}, "signed_time must be whole milliseconds"),
            ({"outcome": "up_to_date", "takes": "5"}, "takes must be whole milliseconds"),
            ({"outcome": "up_to_date", "takes": None}, "takes must be whole milliseconds"),
            ({"outcome": "new_key", "key": b"eyJ"}, "new_key comes with its key: the verified LicenseKey, or its"),
            ({"outcome": "up_to_date", "key": 5}, "new_key comes with its key: the verified LicenseKey, or its"),
        ],
    )
    def test_that_is_none_names_what_is_wrong(self, values: dict, told: str) -> None:
        """A client's mistake is told where it is made, with the part's name."""
        with pytest.raises(licfsm.InvalidValue, match=told):
            licfsm.Answer(**values)

    def test_may_carry_signed_text(self) -> None:
        """A client need not verify what it was sent."""
        assert "eyJ" == licfsm.Answer("new_key", "eyJ").key
