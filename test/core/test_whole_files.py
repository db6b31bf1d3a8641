"""Files are whole or as they were, and what cannot be written is named with the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentryfuse_core.errors import OutputError
from sentryfuse_core.whole_files import make_folder, new_folders, written_whole


@pytest.mark.parametrize("shared", [False, True])
def test_file_has_its_new_content_and_nothing_lies_beside_it_when_it_is_written(
    shared: bool,
    tmp_path: Path,
) -> None:
    path = tmp_path / "new" / "a.json"
    for text in ("first", "second"):
        with written_whole(path, remedy="give another", shared=shared) as partial:
            partial.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert [item.name for item in path.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_file_stays_as_it_was_when_writing_the_new_one_fails(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    wanted = OutputError if isinstance(error, OSError) else KeyboardInterrupt

    def write() -> None:
        with written_whole(path, remedy="make room") as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(wanted) as found:
        write()
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"
    if wanted is OutputError:
        assert str(found.value) == f"cannot write {path}: No space left on device; make room"


def test_place_is_named_with_the_remedy_when_it_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot make the folder .*file: File exists; give another"):
        make_folder(tmp_path / "file", remedy="give another")
    with (
        pytest.raises(OutputError, match=r"cannot write .*a\.json: .*; give another"),
        written_whole(tmp_path / "file" / "a.json", remedy="give another") as partial,
    ):
        partial.write_text("")


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_new_folders_are_gone_when_an_error_leaves_them_empty(error: BaseException, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    places = (tmp_path / "old", tmp_path / "old" / "a" / "b", tmp_path / "c", tmp_path / "d")

    def refuse() -> None:
        with new_folders(*places, remedy="give another"):
            (tmp_path / "c" / "d").mkdir()
            (tmp_path / "d" / "state").write_text("")
            raise error

    with pytest.raises(type(error)):
        refuse()
    left = ["d", "d/state", "old"]
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == left
    with new_folders(*places, remedy="give another"):
        pass
    assert all(path.is_dir() for path in places)
