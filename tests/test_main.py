"""The package run as a program."""

import runpy

import pytest


def test_python_m_licfsm_is_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python -m licfsm --version`` tells the version and ends well."""
    monkeypatch.setattr("sys.argv", ["licfsm", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("licfsm", run_name="__main__")
    assert 0 == ended.value.code
    assert "version" in capsys.readouterr().out
