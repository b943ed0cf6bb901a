"""Work in a record's folder without leaving it, also if a name is replaced between two steps."""

import hashlib
import json
import os
import stat
import tempfile
import types
from pathlib import Path

import pytest

from harness.record import rewritten, safe
from harness.record.entries import DEEPEST
from harness.record.entries import entries as walked
from tests.hostile import facts, replace, users_folder

pytestmark = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="links without privileges and pipes exist on POSIX only"
)

LINKS = ("link to a folder", "link to a file", "hard link", "dangling link", "link to a device", "pipe", "folder")


@pytest.fixture
def user(tmp_path):
    """Return a folder of the user."""
    return users_folder(tmp_path / "user")


@pytest.fixture
def record(tmp_path):
    """Return an empty record."""
    folder = tmp_path / "session" / "record"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(params=["by descriptor", "by path"])
def system(request, monkeypatch):
    """Work as on POSIX, and as on a system without descriptors of folders."""
    if request.param == "by path":
        monkeypatch.setattr(safe, "BY_DESCRIPTOR", False)
    return request.param


def entries(folder):
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("kind", LINKS)
def test_a_file_is_written_in_the_place_of_anything(record, user, kind):
    """What has the name of a file, and of its part, is removed as it is; the file is new, and has one name."""
    before = facts(user)
    replace(record / "left.jsonl", kind, user)
    replace(record / "left.jsonl.part", kind, user)
    safe.write(record, "left.jsonl", "é\n")
    assert (record / "left.jsonl").read_bytes() == "é\n".encode()
    assert (record / "left.jsonl").lstat().st_nlink == 1
    assert entries(record) == ["left.jsonl"]
    assert facts(user) == before


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("kind", LINKS)
def test_nothing_is_appended_to_what_is_no_file_of_the_record(record, user, kind):
    """A link, a hard link, a pipe and a folder are refused."""
    before = facts(user)
    replace(record / "console.log", kind, user)
    with pytest.raises(OSError, match=r"console\.log"):
        rewritten.append(record, "console.log", "x")
    assert facts(user) == before
    assert not (user / "absent.txt").exists()


def test_text_is_appended(record):
    """A file is made by the first text, and grows by the next."""
    rewritten.append(record, "console.log", "a")
    rewritten.append(record, "console.log", "b")
    assert (record / "console.log").read_text() == "ab"


@pytest.mark.usefixtures("system")
def test_a_failed_write_leaves_the_file_before(record):
    """If the writing fails, the part is removed and the file stays as it was."""
    safe.write(record, "a", "before")

    def write():
        with safe.writing(record, "a") as stream:
            stream.write(b"half")
            raise LookupError

    with pytest.raises(LookupError):
        write()
    assert [(path.name, path.read_text()) for path in record.iterdir()] == [("a", "before")]


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("place", ["outputs", "outputs/inner"])
def test_nothing_is_removed_behind_a_linked_folder(record, user, place):
    """A folder on the way that is a link is not entered."""
    before = facts(user)
    (record / place).parent.mkdir(parents=True, exist_ok=True)
    (record / place).symlink_to(user)
    with pytest.raises(OSError, match="symbolic link"):
        safe.remove(record, f"{place}/letter.txt")
    assert list(walked(record, place)) == []
    assert facts(user) == before


@pytest.mark.usefixtures("system")
def test_a_tree_with_links_of_every_kind_is_removed(record, user):
    """Links, hard links, pipes and folders without rights in a tree are removed; the user's files keep content and rights."""
    before = facts(user)
    inner = record / "work" / "a" / "b"
    inner.mkdir(parents=True)
    for kind in LINKS:
        replace(inner / kind, kind, user)
    inner.chmod(0o000)
    inner.parent.chmod(0o400)
    safe.remove(record, "work")
    assert entries(record) == []
    assert facts(user) == before


def test_a_thousand_folders_in_each_other_are_removed(record):
    """Neither the depth of calls nor the number of open files limits the removal."""
    top = os.open(record, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=top)
        below = os.open("d", os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = below
    os.close(top)
    assert [name for name, _ in walked(record)] == ["d/" * DEEPEST + "d"]
    safe.remove(record, "d")
    assert entries(record) == []


@pytest.mark.parametrize("kind", ["link to a folder", "dangling link", "pipe", "file"])
def test_a_folder_replaced_between_check_and_use(record, user, kind, monkeypatch):
    """A folder becomes something else after it was looked at, before it is opened: nothing behind it is touched."""
    before = facts(user)
    (record / "work" / "tmp").mkdir(parents=True)
    (record / "work" / "tmp" / "letter.txt").write_bytes(b"x")
    really = os.stat
    done = []

    def stat_then_replace(path, *args, **kwargs):
        about = really(path, *args, **kwargs)
        if path == "tmp" and not done:
            done.append(path)
            replace(record / "work" / "tmp", kind, user)
        return about

    monkeypatch.setattr(os, "stat", stat_then_replace)
    with pytest.raises(OSError, match=r"tmp|work"):
        safe.remove(record, "work")
    monkeypatch.undo()
    assert done
    assert facts(user) == before
    safe.remove(record, "work")
    assert not (record / "work").exists()


@pytest.mark.parametrize("kind", ["link to a file", "hard link", "pipe", "folder"])
def test_a_file_replaced_between_part_and_name(record, user, kind, monkeypatch):
    """The part of a file, or its name, is replaced just before the renaming: at worst there is no file."""
    before = facts(user)
    really = os.replace

    def replace_first(source, *args, **kwargs):
        if source == "a.part":
            replace(record / "a", kind, user)
        return really(source, *args, **kwargs)

    monkeypatch.setattr(os, "replace", replace_first)
    try:
        safe.write(record, "a", "text")
    except OSError:
        assert kind == "folder"
    else:
        assert (record / "a").read_text() == "text"
    assert facts(user) == before


@pytest.mark.parametrize("kind", ["link to a file", "hard link", "link to a folder"])
def test_rights_of_a_file_replaced_between_check_and_change(record, user, kind, monkeypatch):
    """A file becomes a link after it was found unreadable: the user's file keeps its rights."""
    before = facts(user)
    (record / "a").write_bytes(b"x")
    really = os.open

    def refuse(path, flags, *args, **kwargs):
        if path == "a" and not flags & os.O_PATH:
            replace(record / "a", kind, user)
            raise PermissionError(13, "Permission denied")
        return really(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match=r"rights stay|Permission denied"):
        safe.sha256(record, "a")
    assert facts(user) == before


def test_an_unreadable_file_is_made_readable():
    """A product without the right to read gets it back, with its content unchanged."""
    with tempfile.TemporaryDirectory() as name:  # root may read everything, so another user does it in a child
        record = Path(name)
        (record / "outputs").mkdir()
        (record / "outputs" / "a").write_bytes(b"x")
        (record / "outputs" / "a").chmod(0o200)
        for path in (record, record / "outputs", record / "outputs" / "a"):
            if os.geteuid() == 0:
                os.chown(path, 65534, 65534)
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.setgid(65534)
                    os.setuid(65534)
                os._exit(0 if safe.sha256(record, "outputs/a") == hashlib.sha256(b"x").hexdigest() else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert stat.S_IMODE((record / "outputs" / "a").stat().st_mode) == 0o600


def test_a_record_that_was_renamed_is_still_written(record, user):
    """While a record is held, its path may lead to the user's folder: everything happens in the record."""
    before = facts(user)
    with safe.hold(record) as held:
        (record / "work").mkdir()
        record.rename(record.with_name("moved"))
        record.symlink_to(user)
        safe.write(record, "seal.json", "{}")
        safe.remove(record, "work")
        os.close(safe.create(record, "disk.jsonl"))
        assert not held.is_there()
        assert entries(record.with_name("moved")) == ["disk.jsonl", "seal.json"]
        assert held.bring_back() == "a symbolic link"
        assert held.is_there()
    assert entries(record) == ["disk.jsonl", "seal.json"]
    assert facts(user) == before


def test_a_folder_of_the_user_in_the_place_of_a_record_is_kept(record, user):
    """A folder that took the place of a record is put aside with all that is in it."""
    before = facts(user)
    with safe.hold(record) as held:
        record.rename(record.with_name("moved"))
        user.rename(record)
        held.bring_back()
    (aside,) = record.parent.glob(f"*{safe.ASIDE}")
    assert facts(aside) == before
    assert entries(record) == []


def test_a_name_that_leads_out_is_refused(record):
    """Two dots lead out of a record."""
    (record.parent / "letter.txt").write_bytes(b"x")
    (record / "outputs").mkdir()
    with pytest.raises(safe.NotOursError, match="is no name of something in"):
        safe.remove(record, "outputs/../../letter.txt")
    with pytest.raises(safe.NotOursError, match="is no name of something in"):
        safe.remove(record, "..")
    assert (record.parent / "letter.txt").exists()


def junction(about):
    """Return the facts on a junction as Windows gives them: a folder with a tag."""
    return types.SimpleNamespace(
        st_mode=stat.S_IFDIR | 0o777, st_reparse_tag=0xA0000003, st_nlink=1, st_dev=1, st_ino=about
    )


def test_a_junction_is_a_link():
    """Windows calls a junction a folder; its tag says that it is another name. A file of a cloud folder has another tag."""
    assert safe.is_link(junction(1))
    assert not safe.is_folder(junction(1))
    assert safe.kind(junction(1)) == "a junction"
    cloud = types.SimpleNamespace(st_mode=stat.S_IFREG, st_reparse_tag=0x9000001A, st_nlink=1)
    assert safe.is_file(cloud)


def test_a_junction_is_not_entered_on_windows(record, user, monkeypatch):
    """Where there are no descriptors, a folder that is a junction is refused: here a folder with the facts of one."""
    monkeypatch.setattr(safe, "BY_DESCRIPTOR", False)
    before = facts(user)
    (record / "outputs").mkdir()
    (record / "outputs" / "letter.txt").write_bytes(b"x")
    really = os.stat
    monkeypatch.setattr(
        os, "stat", lambda path, **how: junction(1) if str(path).endswith("outputs") else really(path, **how)
    )
    with pytest.raises(safe.NotOursError, match="outputs is a junction instead of a folder"):
        safe.remove(record, "outputs/letter.txt")
    assert (record / "outputs" / "letter.txt").exists()
    assert facts(user) == before


def test_a_folder_replaced_during_work_is_refused_on_windows(record, user, monkeypatch):
    """Where there are no descriptors, each folder on the way is compared with what it was before every step."""
    monkeypatch.setattr(safe, "BY_DESCRIPTOR", False)
    before = facts(user)
    (record / "outputs").mkdir()
    with safe.opened(record, "outputs") as outputs:
        (record / "outputs").rename(record / "aside")
        for kind in ("link to a folder", "folder"):
            replace(record / "outputs", kind, user)
            for step in (lambda: outputs.unlink("letter.txt"), outputs.names, lambda: outputs.open("new", os.O_CREAT)):
                with pytest.raises(safe.NotOursError, match="took the place of a folder"):
                    step()
    (record / "outputs").chmod(0o700)
    assert facts(user) == before


@pytest.mark.parametrize("kind", ["link to a file", "hard link", "folder", "pipe"])
def test_a_part_replaced_before_it_is_renamed(record, user, kind):
    """A part that a target replaced gets no file's name, and is removed."""
    before = facts(user)
    safe.write(record, "a", "before")

    def write():
        with safe.writing(record, "a") as stream:
            stream.write(b"text")
            replace(record / "a.part", kind, user)

    with pytest.raises(safe.NotOursError, match="replaced while it was written"):
        write()
    assert [(path.name, path.read_text()) for path in record.iterdir()] == [("a", "before")]
    assert facts(user) == before


def test_what_is_held_is_known(record):
    """The files that the harness makes are known by their identity, until the record is closed."""
    with safe.hold(record) as held:
        os.close(safe.create(record, "disk.jsonl"))
        safe.write(record, "left.jsonl", json.dumps({}))
        assert held.known == {name: safe.identity((record / name).stat()) for name in ("disk.jsonl", "left.jsonl")}
    safe.write(record, "later", "x")
    assert "later" not in held.known


def test_a_walk_ends_at_the_limit_of_all_folders(tmp_path, monkeypatch):
    """Many folders with many files, or with none, take no more time and memory than the limit."""
    monkeypatch.setattr(safe.limits, "ENTRIES", 10)
    for folder in range(8):
        (tmp_path / "files" / str(folder)).mkdir(parents=True)
        for name in range(8):
            (tmp_path / "files" / str(folder) / str(name)).touch()
        for name in range(8):
            (tmp_path / "folders" / str(folder) / str(name)).mkdir(parents=True)
    assert len(list(walked(tmp_path, "files/0"))) == 8
    assert len(list(walked(tmp_path, "files"))) == 11
    assert len(list(walked(tmp_path, "folders"))) <= 11
    with safe.opened(tmp_path / "files" / "0") as place:
        assert len(place.names()) == 8
        monkeypatch.setattr(safe.limits, "ENTRIES", 5)
        assert len(place.names()) == 6


def test_folders_of_many_names_are_removed_in_batches(record, monkeypatch):
    """No list of all names is made."""
    monkeypatch.setattr(safe, "BATCH", 3)
    for place in (record / "many", record / "many" / "inner", record / "many" / "inner" / "most"):
        place.mkdir()
        for number in range(10):
            (place / str(number)).touch()
            (place / f"folder {number}").mkdir()
    safe.remove(record, "many")
    assert not (record / "many").exists()


def test_hashing_ends_at_its_time(tmp_path):
    """A large file is not read to its end after the time."""
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert safe.sha256(tmp_path, "a") == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    with pytest.raises(TimeoutError):
        safe.sha256(tmp_path, "a", until=0.0)
