"""The reader of the public phone and watch recordings, on a zip of their layout."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from sentryfuse_core.errors import BagError
from sentryfuse_core.lab.datasets import har

_HEADER = "x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro,timestamp,label\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "har.zip"
    stamps_ms = (1_657_544_418_323, 1_657_544_418_346, 1_657_544_418_346, 1_657_544_418_351)
    text = _HEADER + "".join(
        f"1,2,9.8,0.1,0.2,0.{row},{stamp},SEATED\n" for row, stamp in enumerate(stamps_ms)
    )
    with zipfile.ZipFile(path, "w") as out:
        for name in ("s01/s01_01_sw.csv", "s01/s01_01_sp.csv", "executions_info.csv"):
            out.writestr(f"DATA/{name}", text)
    return path


def test_runs_come_by_name_with_strictly_rising_stamps_when_rows_share_a_millisecond(archive: Path) -> None:
    phone, watch = har.runs(archive)
    assert (phone.name, phone.device, watch.device) == ("s01_01_sp", "sp", "sw")
    assert (phone.stamp_ns - phone.stamp_ns[0]).tolist() == [0, 23_000_000, 23_500_000, 28_000_000]
    assert phone.accel.tolist() == [[1.0, 2.0, 9.8]] * 4
    assert phone.gyro[3].tolist() == [0.1, 0.2, 0.3]
    assert phone.activity == ("SEATED",) * 4


def test_runs_name_the_file_when_it_is_no_zip(tmp_path: Path) -> None:
    path = tmp_path / "har.zip"
    path.write_text("not a zip")
    with pytest.raises(BagError, match=r"har\.zip"):
        list(har.runs(path))
