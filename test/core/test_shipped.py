"""Where the files that come with the package are found, however it was installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentryfuse_core import shipped
from sentryfuse_core.errors import NotInstalledError
from sentryfuse_core.shipped import or_shipped, share_folder

ROOT = Path(__file__).resolve().parents[2]


def install(monkeypatch: pytest.MonkeyPatch, package: Path) -> Path:
    """Pretend that sentryfuse_core lies in `package`."""
    package.mkdir(parents=True)
    monkeypatch.setattr(shipped, "__file__", str(package / "shipped.py"))
    return package


def fill(folder: Path) -> Path:
    """Put what marks a share folder into one."""
    (folder / "msg").mkdir(parents=True)
    (folder / "msg" / "FusionStatus.msg").touch()
    return folder


def test_share_folder_is_the_checkout_when_linked_in_place() -> None:
    assert share_folder() == ROOT


def test_share_folder_is_inside_the_package_when_a_wheel_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = install(monkeypatch, tmp_path / "lib" / "python3.12" / "site-packages" / "sentryfuse_core")
    fill(tmp_path / "share" / "sentryfuse")  # of another build in the same prefix
    expected = fill(package / "share")
    assert share_folder() == expected


@pytest.mark.parametrize("place", ["lib/python3.12/site-packages", "local/lib/python3.12/dist-packages"])
def test_share_folder_is_in_the_prefix_when_colcon_installed(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path / place / "sentryfuse_core")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(fill(tmp_path / "another") / "prefix"))
    fill(tmp_path / place)  # msg/ of a stranger beside the package is none of ours
    expected = fill(tmp_path / "share" / "sentryfuse")
    assert share_folder() == expected


def test_share_folder_says_where_it_looked_when_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path / "site-packages" / "sentryfuse_core")
    with pytest.raises(
        NotInstalledError, match=r"FusionStatus\.msg is neither in .*install the package again"
    ):
        share_folder()


def test_file_of_the_user_goes_first_when_a_shipped_one_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "config/criteria.yaml"
    assert or_shipped(name) == ROOT / name
    (tmp_path / "config").mkdir()
    (tmp_path / name).touch()
    assert or_shipped(name) == Path(name)


@pytest.mark.parametrize("name", ["none.yaml", "../criteria.yaml", "/none.yaml", "config"])
def test_path_stays_as_it_is_when_nothing_shipped_has_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert or_shipped(name) == Path(name)
