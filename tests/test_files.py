import errno
import hashlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ramekin import files
from ramekin.errors import DataError, LockedError, ResourceError, UsageError
from ramekin.files import (
    RESULTS,
    atomic_directory,
    atomic_file,
    file_lock,
    folder_lock,
    refuse_existing,
    refuse_inputs,
    remove_leftovers,
    remove_old_leftovers,
    scratch_directory,
    sha256_file,
    sync_directory,
    write_bytes,
    write_json,
    write_text,
)


def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that prints "ready" when it has come where the test wants it."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str], how: signal.Signals = signal.SIGKILL) -> None:
    process.send_signal(how)
    process.communicate()


@pytest.mark.parametrize("size", [0, 1, 1000, 1001, 5000])
def test_sha256_in_chunks(tmp_path, size):
    data = bytes(number % 251 for number in range(size))
    (tmp_path / "f").write_bytes(data)
    assert sha256_file(tmp_path / "f", chunk_bytes=1000) == hashlib.sha256(data).hexdigest()


class TestWriteBytes:
    def test_makes_folders_and_leaves_nothing_else(self, tmp_path):
        write_bytes(tmp_path / "a" / "b" / "f", b"x")
        assert (tmp_path / "a" / "b" / "f").read_bytes() == b"x"
        assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["f"]

    def test_replaces(self, tmp_path):
        write_bytes(tmp_path / "f", b"old")
        write_bytes(tmp_path / "f", b"new")
        assert (tmp_path / "f").read_bytes() == b"new"

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_a_failure_keeps_the_old_file_and_leaves_nothing(self, tmp_path, monkeypatch, step):
        write_bytes(tmp_path / "f", b"old")

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, step, full)
        with pytest.raises(
            ResourceError, match="cannot write: .*/f: got No space left on device; fix: free some space"
        ):
            write_bytes(tmp_path / "f", b"new")
        monkeypatch.undo()
        assert (tmp_path / "f").read_bytes() == b"old"
        assert [path.name for path in tmp_path.iterdir()] == ["f"]

    def test_a_folder_that_is_a_file(self, tmp_path):
        (tmp_path / "f").write_text("")
        with pytest.raises(
            ResourceError, match="cannot write: .*/f/g: got .*choose a folder that can be written"
        ):
            write_bytes(tmp_path / "f" / "g", b"")

    def test_a_path_that_is_a_folder(self, tmp_path):
        (tmp_path / "f").mkdir()
        with pytest.raises(ResourceError, match="cannot write: .*/f"):
            write_bytes(tmp_path / "f", b"")
        assert [path.name for path in tmp_path.iterdir()] == ["f"]

    def test_killed_before_the_rename_the_old_file_stands(self, tmp_path):
        write_bytes(tmp_path / "f", b"old")
        process = start(
            """
            import os, sys, time
            from pathlib import Path
            from ramekin import files

            def wait(*_):
                print("ready", flush=True)
                time.sleep(60)

            os.replace = wait
            files.write_bytes(Path(sys.argv[1]), b"new")
            """,
            tmp_path / "f",
        )
        end(process)
        assert (tmp_path / "f").read_bytes() == b"old"
        remove_leftovers(tmp_path / "f")
        assert [path.name for path in tmp_path.iterdir()] == ["f"]


class TestWriteText:
    def test_utf8_without_newline_translation(self, tmp_path):
        write_text(tmp_path / "f", "é\r\n\n")
        assert (tmp_path / "f").read_bytes() == b"\xc3\xa9\r\n\n"

    def test_json(self, tmp_path):
        value = {"b": [1, 2.5, None, True], "a": "é"}
        write_json(tmp_path / "f.json", value)
        text = (tmp_path / "f.json").read_text("utf-8")
        assert json.loads(text) == value
        assert text.endswith("}\n")
        assert "é" in text
        assert text.index('"b"') < text.index('"a"')

    @pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}])
    def test_json_has_no_nan(self, tmp_path, value):
        with pytest.raises(UsageError, match=r"cannot be written as JSON: .*f\.json: got Out of range float"):
            write_json(tmp_path / "f.json", value)
        assert list(tmp_path.iterdir()) == []


class TestRefuseExisting:
    def test_what_is_not_there_and_what_is_empty(self, tmp_path):
        refuse_existing(tmp_path / "new", overwrite=False)
        refuse_existing(tmp_path, overwrite=False)

    @pytest.mark.parametrize("kind", ["file", "folder"])
    def test_what_is_there(self, tmp_path, kind):
        output = tmp_path / "out"
        output.write_text("") if kind == "file" else write_text(output / "config.json", "")
        with pytest.raises(UsageError, match="the output exists .*/out; fix: .*overwrite=true"):
            refuse_existing(output, overwrite=False)
        refuse_existing(output, overwrite=True)

    def test_a_folder_of_something_else_is_not_overwritten(self, tmp_path):
        for name in ("thesis.tex", "a", "b", "c"):
            write_text(tmp_path / "out" / name, "")
        with pytest.raises(
            UsageError, match=r"something else.*expected one of .*config\.json.*got a, b, c, …"
        ):
            refuse_existing(tmp_path / "out", overwrite=True)

    @pytest.mark.parametrize("name", sorted(RESULTS))
    def test_a_result_is(self, tmp_path, name):
        write_text(tmp_path / "out" / name, "")
        refuse_existing(tmp_path / "out", overwrite=True)

    def test_one_of_which_only_the_lock_is_left_is(self, tmp_path):
        with folder_lock(tmp_path / "out"):
            pass
        refuse_existing(tmp_path / "out", overwrite=True)

    def test_the_folder_one_works_in_is_not_overwritten(self, tmp_path, monkeypatch):
        write_text(tmp_path / "config.json", "")
        (tmp_path / "in").mkdir()
        for place in (tmp_path, tmp_path / "in"):
            monkeypatch.chdir(place)
            with pytest.raises(UsageError, match="cannot be this folder"):
                refuse_existing(tmp_path, overwrite=True)


class TestAtomicDirectory:
    def test_is_there_when_the_block_has_ended_and_not_before(self, tmp_path):
        output = tmp_path / "deep" / "out"
        with atomic_directory(output) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "f").write_text("x")
            assert folder.parent == output.parent
            assert not output.exists()
        assert (output / "sub" / "f").read_text() == "x"
        assert [path.name for path in output.parent.iterdir()] == ["out"]

    @pytest.mark.parametrize("error", [DataError("no"), KeyboardInterrupt(), ValueError("x")])
    def test_an_exception_leaves_nothing_and_comes_through(self, tmp_path, error):
        with pytest.raises(type(error)), atomic_directory(tmp_path / "out") as folder:
            (folder / "f").write_text("x")
            raise error
        assert list(tmp_path.iterdir()) == []

    def test_an_error_of_the_disk_inside_the_block(self, tmp_path):
        with (
            pytest.raises(ResourceError, match="cannot write: .*/out: got No space"),
            atomic_directory(tmp_path / "out"),
        ):
            raise OSError(errno.ENOSPC, "No space left on device")
        assert list(tmp_path.iterdir()) == []

    def test_every_file_is_synced_before_the_rename(self, tmp_path, monkeypatch):
        done = []
        fsync, replace = os.fsync, os.replace

        def spy_fsync(descriptor):
            done.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
            fsync(descriptor)

        def spy_replace(source, target):
            done.append("rename")
            replace(source, target)

        monkeypatch.setattr(os, "fsync", spy_fsync)
        monkeypatch.setattr(os, "replace", spy_replace)
        with atomic_directory(tmp_path / "out") as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "a").write_text("x")
            (folder / "b").write_text("x")
        before, after = done[: done.index("rename")], done[done.index("rename") + 1 :]
        assert {"a", "b", "sub"} <= set(before)
        assert after == [tmp_path.name]

    def test_an_output_that_exists_is_refused_before_anything_is_written(self, tmp_path):
        write_text(tmp_path / "out" / "old", "x")
        with pytest.raises(UsageError, match="the output exists"), atomic_directory(tmp_path / "out"):
            raise AssertionError("the block must not run")
        assert (tmp_path / "out" / "old").exists()

    def test_an_empty_folder_is_filled(self, tmp_path):
        (tmp_path / "out").mkdir()
        with atomic_directory(tmp_path / "out") as folder:
            (folder / "f").write_text("x")
        assert (tmp_path / "out" / "f").exists()
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_overwriting_replaces_the_whole_folder(self, tmp_path):
        write_text(tmp_path / "out" / "config.json", "x")
        with atomic_directory(tmp_path / "out", overwrite=True) as folder:
            (folder / "new").write_text("x")
            assert (tmp_path / "out" / "config.json").exists()
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_a_file_is_not_replaced_by_a_folder(self, tmp_path):
        (tmp_path / "out").write_text("x")
        for rules in ({"overwrite": True}, {"is_own": True}, {}):
            with (
                pytest.raises(UsageError, match="is to be a folder, and a file is there"),
                atomic_directory(tmp_path / "out", **rules),
            ):
                pass
        assert (tmp_path / "out").read_text() == "x"

    @pytest.mark.parametrize("is_own", [False, True])
    def test_a_folder_of_something_else_is_replaced_if_it_is_the_callers(self, tmp_path, is_own):
        write_text(tmp_path / "out" / "old", "x")
        if not is_own:
            with (
                pytest.raises(UsageError, match="a folder of something else"),
                atomic_directory(tmp_path / "out", overwrite=True),
            ):
                pass
            assert (tmp_path / "out" / "old").exists()
            return
        with atomic_directory(tmp_path / "out", is_own=True) as folder:
            (folder / "new").write_text("x")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]

    def test_a_failed_overwrite_keeps_the_old_folder(self, tmp_path):
        write_text(tmp_path / "out" / "old", "x")
        with pytest.raises(DataError), atomic_directory(tmp_path / "out", is_own=True):
            raise DataError("no")
        assert (tmp_path / "out" / "old").exists()
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_a_rename_that_fails_keeps_the_old_folder(self, tmp_path, monkeypatch):
        write_text(tmp_path / "out" / "old", "x")
        replace = os.replace

        def fails_into_place(source, target):
            if Path(target).name == "out" and "-old-" not in Path(source).name:
                raise OSError(errno.EIO, "Input/output error")
            replace(source, target)

        monkeypatch.setattr(os, "replace", fails_into_place)
        with pytest.raises(ResourceError), atomic_directory(tmp_path / "out", is_own=True) as folder:
            (folder / "new").write_text("x")
        assert (tmp_path / "out" / "old").exists()

    def test_killed_between_the_two_renames_of_an_overwrite_the_old_folder_can_be_had_again(self, tmp_path):
        write_text(tmp_path / "out" / "old", "x")
        process = start(
            """
            import os, sys, time
            from pathlib import Path
            from ramekin import files

            replace = os.replace

            def once(source, target):
                replace(source, target)
                print("ready", flush=True)
                time.sleep(60)

            with files.atomic_directory(Path(sys.argv[1]), is_own=True) as folder:
                (folder / "new").write_text("x")
                os.replace = once
            """,
            tmp_path / "out",
        )
        end(process)
        remove_leftovers(tmp_path / "out")
        assert (tmp_path / "out").is_dir()

    MAKE = """
        import os, sys, time
        from pathlib import Path
        from ramekin import files

        def wait(*_):
            print("ready", flush=True)
            time.sleep(60)

        if sys.argv[2] != "block":
            setattr(os, sys.argv[2], wait)
        with files.atomic_directory(Path(sys.argv[1])) as folder:
            (folder / "f").write_text("x")
            if sys.argv[2] == "block":
                wait()
        """

    @pytest.mark.parametrize("moment", ["block", "fsync", "replace"])
    def test_killed_it_leaves_nothing_under_its_name_and_the_next_cleans_up(self, tmp_path, moment):
        end(start(self.MAKE, tmp_path / "out", moment))
        assert not (tmp_path / "out").exists()
        assert len(list(tmp_path.iterdir())) == 1
        with atomic_directory(tmp_path / "out") as folder:
            (folder / "f").write_text("new")
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_the_folder_of_a_living_process_is_left_alone(self, tmp_path):
        process = start(self.MAKE, tmp_path / "out", "block")
        try:
            remove_leftovers(tmp_path / "out")
            assert [path.name for path in tmp_path.iterdir()] == [f".tmp-out-new-{process.pid}"]
        finally:
            end(process)


class TestLeftovers:
    def test_of_dead_processes_are_removed_files_and_folders(self, tmp_path):
        pid = dead_pid()
        (tmp_path / f".tmp-out-new-{pid}").mkdir()
        (tmp_path / f".tmp-out-new-{pid}" / "f").write_text("")
        (tmp_path / f".tmp-out-old-{pid}").write_text("")
        (tmp_path / "out").mkdir()
        remove_leftovers(tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_of_other_outputs_stay(self, tmp_path):
        (tmp_path / f".tmp-other-{dead_pid()}").mkdir()
        remove_leftovers(tmp_path / "out")
        assert len(list(tmp_path.iterdir())) == 1

    def test_of_an_output_whose_name_begins_alike_stay(self, tmp_path):
        with atomic_directory(tmp_path / "out-2") as outer:
            (outer / "f").write_text("x")
            with atomic_directory(tmp_path / "out") as inner:
                (inner / "f").write_text("x")
        assert (tmp_path / "out-2" / "f").exists()

    def test_a_name_with_brackets(self, tmp_path):
        (tmp_path / f".tmp-out[1]-new-{dead_pid()}").mkdir()
        remove_leftovers(tmp_path / "out[1]")
        assert list(tmp_path.iterdir()) == []


class TestFolderLock:
    HOLD = """
        import sys, time
        from pathlib import Path
        from ramekin.files import folder_lock

        with folder_lock(Path(sys.argv[1])):
            print("ready", flush=True)
            time.sleep(60)
        """

    def test_a_second_process_is_refused_with_the_first_ones_number(self, tmp_path):
        process = start(self.HOLD, tmp_path / "run")
        try:
            with pytest.raises(LockedError) as caught, folder_lock(tmp_path / "run"):
                raise AssertionError("the block must not run")
        finally:
            end(process)
        message = str(caught.value)
        assert message.startswith(
            f"another process is writing to this folder: {tmp_path / 'run'}: got pid {process.pid} on "
        )
        assert " since 20" in message

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
    def test_it_goes_with_its_process(self, tmp_path, how):
        end(start(self.HOLD, tmp_path / "run"), how)
        with folder_lock(tmp_path / "run"):
            pass

    def test_it_can_be_taken_again_and_again_and_after_errors(self, tmp_path):
        for _ in range(2):
            with pytest.raises(DataError), folder_lock(tmp_path):
                raise DataError("no")

    def test_within_one_process_it_holds_too(self, tmp_path):
        with (
            folder_lock(tmp_path),
            pytest.raises(LockedError, match=f"got pid {os.getpid()} "),
            folder_lock(tmp_path),
        ):
            pass

    def test_two_folders_do_not_meet(self, tmp_path):
        with folder_lock(tmp_path / "a"), folder_lock(tmp_path / "b"):
            pass

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "f").write_text("")
        with pytest.raises(ResourceError, match="cannot write"), folder_lock(tmp_path / "f"):
            pass


class TestFileLock:
    HOLD = """
        import sys
        from pathlib import Path
        from ramekin.files import file_lock, write_text

        with file_lock(Path(sys.argv[1])):
            print("ready", flush=True)
            sys.stdin.readline()
            write_text(Path(sys.argv[1]), "written")
        """
    ADD = """
        import sys
        from pathlib import Path
        from ramekin.files import file_lock, write_text

        path = Path(sys.argv[1])
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(50):
            with file_lock(path):
                write_text(path, str(int(path.read_text()) + 1))
        """

    def test_a_second_process_waits_until_the_first_has_written(self, tmp_path):
        first = start(self.HOLD, tmp_path / "f")
        second = start(
            self.HOLD.replace("with file_lock", "print('ready', flush=True)\n        with file_lock"),
            tmp_path / "f",
        )
        assert second.stdout is not None
        try:
            assert select.select([second.stdout], [], [], 0.2)[0] == []
            first.communicate("\n", timeout=60)
            assert second.stdout.readline() == "ready\n"
            assert (tmp_path / "f").read_text() == "written"
        finally:
            end(first)
            end(second)

    def test_reading_and_writing_in_several_processes_loses_nothing(self, tmp_path):
        write_text(tmp_path / "f", "0")
        processes = [start(self.ADD, tmp_path / "f") for _ in range(4)]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            process.communicate(timeout=60)
        assert [process.returncode for process in processes] == [0] * 4
        assert (tmp_path / "f").read_text() == "200"
        assert [path.name for path in tmp_path.iterdir()] == ["f"]

    def test_it_goes_with_its_process_and_the_next_cleans_up(self, tmp_path):
        end(start(self.HOLD, tmp_path / "f"))
        assert [path.name for path in tmp_path.iterdir()] == [".tmp-f-lock"]
        with file_lock(tmp_path / "f"):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_it_makes_the_folder_and_can_be_taken_again_after_errors(self, tmp_path):
        for _ in range(2):
            with pytest.raises(DataError), file_lock(tmp_path / "deep" / "f"):
                raise DataError("no")
        assert list((tmp_path / "deep").iterdir()) == []

    def test_an_error_inside_the_block_comes_through_as_it_is(self, tmp_path):
        with pytest.raises(FileNotFoundError), file_lock(tmp_path / "f"):
            (tmp_path / "f").read_text()

    def test_two_files_of_a_folder_do_not_meet(self, tmp_path):
        with file_lock(tmp_path / "a"), file_lock(tmp_path / "b"):
            pass

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "f").write_text("")
        with pytest.raises(ResourceError, match="cannot write: .*/f/g"), file_lock(tmp_path / "f" / "g"):
            pass


@pytest.mark.parametrize(
    ("output", "inputs", "word"),
    [
        ("a", ["b", "a"], "is one of"),
        ("a/../a/.", ["a"], "is one of"),
        ("", ["a"], "holds one of"),
        ("a", ["b", "a/c/d"], "holds one of"),
        ("link", ["a/c"], "holds one of"),
    ],
)
def test_an_output_that_is_or_holds_an_input_is_refused(tmp_path, output, inputs, word):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match=f"the output {word} the inputs.*choose another output"):
        refuse_inputs(tmp_path / output, [tmp_path / each for each in inputs])
    refuse_inputs(tmp_path / "a" / "new", [tmp_path / "a"])  # what lies in one is for the caller
    refuse_inputs(tmp_path / "ab", [tmp_path / "a"])


def test_a_folder_that_another_process_made_meanwhile_is_kept(tmp_path):
    output = tmp_path / "out"
    with pytest.raises(UsageError, match="never overwritten unasked"), atomic_directory(output) as folder:
        (folder / "ours").write_text("1")
        output.mkdir()
        (output / "theirs").write_text("2")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]


def test_the_folder_one_works_in_is_no_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for output in (Path(), Path("/"), tmp_path / "a" / ".."):
        with (
            pytest.raises(UsageError, match="cannot be this folder"),
            atomic_directory(output, overwrite=True),
        ):
            pass


@pytest.mark.parametrize("there", [True, False])
def test_behind_a_link_its_target_is_replaced_and_the_link_stays(tmp_path, there):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    if there:
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "config.json").write_text("1")
    with atomic_directory(tmp_path / "link", overwrite=True) as folder:
        (folder / "new").write_text("2")
    assert (tmp_path / "link").is_symlink() and [p.name for p in (tmp_path / "target").iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "target"]


def test_sync_directory_closes_what_it_opens(tmp_path, monkeypatch):
    def fails(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="Input/output"):
        sync_directory(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_written_piece_by_piece_is_whole_or_not_there(tmp_path):
    with atomic_file(tmp_path / "deep" / "file") as file:
        file.write(b"one")
        assert not (tmp_path / "deep" / "file").exists()
        file.write(b"two")
    assert (tmp_path / "deep" / "file").read_bytes() == b"onetwo"
    with pytest.raises(ValueError, match="enough"), atomic_file(tmp_path / "deep" / "file") as file:
        file.write(b"three")
        raise ValueError("enough")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]
    assert (tmp_path / "deep" / "file").read_bytes() == b"onetwo"


def test_old_unfinished_files_of_dead_processes_go_from_a_folder(tmp_path):
    dead, own = dead_pid(), os.getpid()
    for name, hours in ((f"old-file-{dead}", 25), (f"new-file-{dead}", 23), (f"mine-file-{own}", 25)):
        (tmp_path / f".tmp-{name}").write_bytes(b"half")
        os.utime(tmp_path / f".tmp-{name}", (time.time() - 3600 * hours,) * 2)
    remove_old_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f".tmp-new-file-{dead}", f".tmp-mine-file-{own}"}
    remove_old_leftovers(tmp_path, hours=22)
    assert {path.name for path in tmp_path.iterdir()} == {f".tmp-mine-file-{own}"}


def test_everything_public_is_tested_here():
    assert set(files.__all__) <= set(globals())


def test_a_scratch_folder_goes_with_the_block_and_outlives_writers_beside_it(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(ValueError, match="on purpose"), scratch_directory(output) as scratch:
        (scratch / "a").write_text("1")
        with atomic_directory(output) as folder:
            (folder / "b").write_text("2")
        assert (scratch / "a").read_text() == "1" and scratch.parent == tmp_path
        raise ValueError("on purpose")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_dead_process_scratch_folder_is_removed_by_the_next_writer(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    left = tmp_path / f".tmp-out-scratch-{int(dead.stdout)}"
    left.mkdir()
    with scratch_directory(tmp_path / "out"):
        assert not left.exists()
