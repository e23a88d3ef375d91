import functools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from licfsm import InvalidValue, LicenseKey
from licfsm.adapters.targets import CallbackTarget, FileTarget, as_targets

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither modes nor pipes of this kind")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="access lists of this kind are Linux's")


def key(signed: str = "new", license_id: str = "ACME-1") -> LicenseKey:
    """Make a key that was signed."""
    return LicenseKey(id=license_id, type="subscription", signed=signed)


def inside(folder: Path) -> dict[str, str]:
    """Read all files of a folder."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Write a file that holds the key before."""
    path = tmp_path / "license.lic"
    path.write_text("old", encoding="utf-8")
    return path


class TestFileTarget:
    def test_writes_what_was_signed(self, tmp_path: Path) -> None:
        """The file holds exactly the bytes that were signed, in UTF-8, line ends as they are."""
        FileTarget(tmp_path / "a.lic").write(key("Müller\r\nx\n"))
        assert b"M\xc3\xbcller\r\nx\n" == (tmp_path / "a.lic").read_bytes()

    def test_says_that_it_wrote(self, tmp_path: Path) -> None:
        """None stands for written."""
        assert FileTarget(tmp_path / "a.lic").write(key()) is None

    @pytest.mark.parametrize("signed", ["", "\ud800"])
    def test_refuses_a_key_that_nobody_signed(self, tmp_path: Path, signed: str) -> None:
        """A key without a signed text is a mistake of the caller's, not of the file's."""
        with pytest.raises(InvalidValue, match="the key of ACME-1 has no signed text to write"):
            FileTarget(tmp_path / "a.lic").write(key(signed))

    def test_stays_where_it_was_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative path is taken from the folder that was the current one when the target was made."""
        monkeypatch.chdir(tmp_path)
        target = FileTarget("a.lic")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        target.write(key())
        assert "new" == (tmp_path / "a.lic").read_text(encoding="utf-8")

    def test_is_named_after_its_path(self) -> None:
        """Its name is the path as it was given."""
        assert "some/../a.lic" == FileTarget("some/../a.lic").name

    @posix_only
    def test_follows_a_path_as_the_system_does(self, tmp_path: Path) -> None:
        """What .. means behind a link, the system decides."""
        (tmp_path / "far" / "off").mkdir(parents=True)
        (tmp_path / "link").symlink_to(tmp_path / "far" / "off")
        FileTarget(tmp_path / "link" / ".." / "a.lic").write(key())
        assert "new" == (tmp_path / "far" / "a.lic").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("", "'' cannot be the path of a file"),
            ("a\0b", r"'a\\x00b' cannot be the path of a file"),
            ("\ud800", r"'\\ud800' cannot be the path of a file"),
            ("~/a.lic", "'~/a.lic' is taken as it stands, and no ~ is replaced; give it as Path"),
            ("etc/", "'etc/' is the path of a folder; add the name of the file"),
            ("etc/{licence}.lic", r"\{licence\} in 'etc/\{licence\}.lic' stands for nothing"),
            (b"etc", "a path must be text or a pathlib.Path, not a value of type bytes"),
            (7, "a path must be text or a pathlib.Path, not a value of type int"),
        ],
    )
    def test_refuses_what_is_no_path(self, path: object, reason: str) -> None:
        """A path that cannot be a file's is refused at once, in one clear line."""
        with pytest.raises(InvalidValue, match=reason):
            FileTarget(path)

    @linux_only
    def test_refuses_to_start_from_nowhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative path needs a current folder."""
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        with pytest.raises(InvalidValue, match="starts from the current folder, which is gone"):
            FileTarget("a.lic")


class TestManyLicenses:
    @pytest.mark.parametrize(("path", "shared"), [("a.lic", True), ("{license}.lic", False), ("{license}/a", False)])
    def test_tells_whether_all_share_the_file(self, path: str, *, shared: bool) -> None:
        """Without the license's id in its path, every license has the same file."""
        assert shared is FileTarget(path).shared

    @pytest.mark.parametrize(
        ("path", "file"),
        [("{license}", "ACME-1"), ("of-{license}.lic", "of-ACME-1.lic"), ("{license}-{license}", "ACME-1-ACME-1")],
    )
    def test_gives_each_license_its_file(self, tmp_path: Path, path: str, file: str) -> None:
        """The id takes the place of {license}, wherever it stands."""
        FileTarget(tmp_path / path).write(key())
        assert {file: "new"} == inside(tmp_path)

    def test_gives_each_license_its_folder(self, tmp_path: Path) -> None:
        """The id may be the name of a folder."""
        (tmp_path / "ACME-1").mkdir()
        FileTarget(tmp_path / "{license}" / "a.lic").write(key())
        assert {"a.lic": "new"} == inside(tmp_path / "ACME-1")

    @pytest.mark.parametrize(
        ("path", "license_id"),
        [
            ("{license}", ".."),
            ("{license}/a", ".."),
            ("{license}/a", "."),
            (".{license}/a", "."),
            ("{license}/a", "..."),
        ],
    )
    def test_lets_no_id_out_of_its_folder(self, tmp_path: Path, path: str, license_id: str) -> None:
        """An id that is the name of another folder is refused, and nothing is written anywhere."""
        (tmp_path / "keys").mkdir()
        reason = FileTarget(tmp_path / "keys" / path).write(key(license_id=license_id))
        assert (
            f"the license id '{license_id}' is no name of a file or folder; write more than {{license}} there" in reason
        )
        assert [tmp_path / "keys"] == list(tmp_path.rglob("*"))

    def test_lets_dots_be_part_of_a_name(self, tmp_path: Path) -> None:
        """The same id is harmless within a longer name."""
        FileTarget(tmp_path / "of-{license}.lic").write(key(license_id=".."))
        assert {"of-...lic": "new"} == inside(tmp_path)

    @pytest.mark.parametrize("license_id", ["ACME-1.previous", "ACME-1.PREVIOUS"])
    def test_lets_no_license_take_anothers_previous_key(self, tmp_path: Path, license_id: str) -> None:
        """The file of one license is not the previous key of another."""
        reason = FileTarget(tmp_path / "{license}").write(key(license_id=license_id))
        assert "names that end in .previous are for the keys before" in reason


class Untyped:
    """A target of the host's, without a name."""

    def write(self, _: LicenseKey, /) -> str | None:
        return None


class Named(Untyped):
    """A target of the host's that has a name."""

    name = "Enterprise Manager"


def write_away(_: LicenseKey) -> None:
    """Stand for a host's function."""


async def write_later(_: LicenseKey) -> None:
    """Stand for a host's asynchronous function."""


class TestCallbackTarget:
    def test_hands_over_the_key(self) -> None:
        """The function gets the key itself."""
        given: list[LicenseKey] = []
        one = key()
        CallbackTarget(given.append, "list").write(one)
        assert one is given[0]

    def test_says_that_it_wrote(self) -> None:
        """A function that returns has written, whatever it returns."""
        assert CallbackTarget(lambda _: "done", "x").write(key()) is None

    def test_gives_back_what_the_function_raises(self) -> None:
        """An exception is a reason, in one clean line."""

        def fail(_: LicenseKey) -> None:
            message = "no\nroute\x00"
            raise ConnectionError(message)

        assert "ConnectionError: no route" == CallbackTarget(fail).write(key())

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_lets_an_end_of_the_program_pass(self, error: type[BaseException]) -> None:
        """Who wants to end the program ends it."""

        def end(_: LicenseKey) -> None:
            raise error

        with pytest.raises(error):
            CallbackTarget(end).write(key())

    @pytest.mark.parametrize(
        ("function", "name"),
        [(write_away, "write_away"), (Named().write, "write"), (functools.partial(write_away), "partial")],
    )
    def test_is_named_after_the_function(self, function: Callable[..., None], name: str) -> None:
        """Without a name of its own it has the function's, or that of its class."""
        assert name == CallbackTarget(function).name

    @pytest.mark.parametrize("function", [write_later, functools.partial(write_later)])
    def test_refuses_an_asynchronous_function(self, function: Callable[..., object]) -> None:
        """A function that only promises to write is refused at once."""
        with pytest.raises(InvalidValue, match="is asynchronous; give a function that returns when all is done"):
            CallbackTarget(function)

    def test_takes_no_promise_for_a_written_key(self) -> None:
        """What turns out to be asynchronous has written nothing."""

        def hide(given: LicenseKey) -> object:
            return write_later(given)

        expected = "hide is asynchronous; give a function that returns when the key is written"
        assert expected == CallbackTarget(hide).write(key())

    def test_refuses_what_is_no_function(self) -> None:
        """Something else than a function is refused."""
        with pytest.raises(InvalidValue, match="must be a function, not a value of type int"):
            CallbackTarget(7)


class TestAsTargets:
    def test_refuses_an_object_that_writes_later(self) -> None:
        """A target whose write is asynchronous would never be written."""

        class Later:
            name = "share"

            async def write(self, _key: LicenseKey) -> None:
                """Promise to."""

        with pytest.raises(InvalidValue, match="write of target share is asynchronous"):
            as_targets([Later()])

    def test_names_what_is_listed(self) -> None:
        """A path is its own name; functions and targets have theirs, or their class's."""
        given = ["a.lic", Path("etc/b.lic"), FileTarget("c.lic"), write_away, Named(), Untyped()]
        names = ["a.lic", str(Path("etc/b.lic")), "c.lic", "write_away", "Enterprise Manager", "Untyped"]
        assert names == list(as_targets(given))

    def test_makes_targets_of_what_is_listed(self) -> None:
        """Paths and functions become targets, targets stay what they are."""
        mine = Named()
        expected = [FileTarget("a.lic"), CallbackTarget(write_away), mine]
        assert expected == list(as_targets(("a.lic", write_away, mine)).values())

    def test_takes_names_from_a_mapping(self) -> None:
        """A mapping's names are what its targets are called."""
        mine = Named()
        expected = {"backup": FileTarget("a.lic"), "call": CallbackTarget(write_away, "call"), "other": mine}
        assert expected == as_targets({"backup": "a.lic", "call": write_away, "other": mine})

    @pytest.mark.parametrize("given", [[], (), {}])
    def test_takes_none_at_all(self, given: object) -> None:
        """A host need have no target."""
        assert {} == as_targets(given)

    @pytest.mark.parametrize(
        "given", [["a", "a"], ["a", Path("a")], [write_away, write_away], [lambda _: 0, lambda _: 1]]
    )
    def test_refuses_a_name_given_twice(self, given: list[object]) -> None:
        """Two targets of one name could not be told apart."""
        with pytest.raises(InvalidValue, match=r"two targets are called .*; give a mapping of names to targets"):
            as_targets(given)

    @pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\nb", "\ud800", 7, None])
    def test_refuses_what_is_no_name(self, name: object) -> None:
        """A name can be shown, and is neither empty nor long."""
        with pytest.raises(InvalidValue, match="a target's name must be 1 to 200 printable characters"):
            as_targets({name: "a.lic"})

    def test_takes_a_name_of_200_characters(self) -> None:
        """The longest name is a name."""
        assert ["x" * 200] == list(as_targets(["x" * 200]))

    def test_refuses_a_long_path_without_a_name(self) -> None:
        """A path that is too long for a name needs one."""
        with pytest.raises(InvalidValue, match="give a mapping of names to targets"):
            as_targets(["x" * 201])

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ("a.lic", "targets must be a list of .* not a value of type str; put it in a list"),
            (b"a.lic", "not a value of type bytes"),
            (Path("a.lic"), "not a value of type PosixPath|WindowsPath"),
            (FileTarget("a.lic"), "not a value of type FileTarget"),
            (write_away, "not a value of type function"),
            (None, "not a value of type NoneType"),
            ([None], "a value of type NoneType is no target; give a path, a function of a key"),
            ([7], "a value of type int is no target"),
            ([b"a.lic"], "a value of type bytes is no target"),
            ([["a.lic"]], "a value of type list is no target"),
            ([FileTarget], "FileTarget is a class; give a target made of it"),
            ([""], "'' cannot be the path of a file"),
            ({"a": None}, "a value of type NoneType is no target"),
        ],
    )
    def test_refuses_what_is_no_target(self, given: object, reason: str) -> None:
        """Strange things are refused in one clear line."""
        with pytest.raises(InvalidValue, match=reason):
            as_targets(given)

    def test_refuses_an_open_file(self, old: Path) -> None:
        """What is written into an open file can be read half-written."""
        with old.open("rb") as opened, pytest.raises(InvalidValue, match="is an open file; give its path"):
            as_targets([opened])
