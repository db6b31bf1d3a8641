"""The second teacher: a box both have is sure, one that it should see and does not is in doubt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.errors import BackendError, ConfigError
from sentryfuse_core.lab.adapting.lessons import Lesson
from sentryfuse_core.lab.adapting.witness import Flat, open_witness, parse_classes, witnessed
from sentryfuse_core.lab.training.view_targets import rectangles
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.tensors import ModelInput

LABELS = ("car", "pedestrian", "cyclist")
CAR = (4.2, 1.8, 1.5, 0.3)
INPUTS = ModelInput(
    camera=torch.rand(1, 3, GEOMETRY.image_height, GEOMETRY.image_width),
    camera_position=torch.tensor([[0.3, 0.0, 1.5]]),
)


def lesson(*rows: tuple[float, float, int, bool]) -> Lesson:
    """Boxes by x, y, class and whether they are sure."""
    boxes = np.array([(x, y, 0.75, *CAR) for x, y, _, _ in rows])
    classes = np.array([row[2] for row in rows])
    return Lesson(FrameBoxes(boxes, classes, np.full(len(rows), 0.4)), np.array([row[3] for row in rows]))


def seeing(own: Lesson, *rows: int, classes: int = 0, score: float = 0.9) -> Flat:
    """What a witness finds that has the boxes `rows` of a lesson, exactly."""
    boxes = torch.from_numpy(own.boxes.boxes).float()[None]
    assert INPUTS.camera_position is not None
    low, high, _ = rectangles(boxes, INPUTS.camera_position, torch.zeros(1, 2))
    corners = torch.cat((low, high), dim=-1)[0].double().numpy()[list(rows)]
    return Flat(corners, np.full(len(rows), classes), np.full(len(rows), score))


def test_witness_makes_a_box_sure_when_it_has_it_too() -> None:
    own = lesson((12.0, 1.0, 0, False), (20.0, -6.0, 0, False))
    assert witnessed(INPUTS, own, lambda _: seeing(own, 1)).sure.tolist() == [False, True]


def test_witness_puts_a_near_box_in_doubt_when_it_does_not_have_it() -> None:
    own = lesson((12.0, 1.0, 0, True), (31.0, 0.0, 0, True))
    assert witnessed(INPUTS, own, lambda _: seeing(own)).sure.tolist() == [False, True]


@pytest.mark.parametrize(("classes", "score"), [(1, 0.9), (-1, 0.9), (0, 0.1)])
def test_witness_does_not_confirm_when_its_class_or_score_is_another(classes: int, score: float) -> None:
    own = lesson((12.0, 1.0, 0, True))
    told = witnessed(INPUTS, own, lambda _: seeing(own, 0, classes=classes, score=score))
    assert told.sure.tolist() == [False]


def test_witness_says_nothing_of_what_the_image_does_not_show() -> None:
    own = lesson((3.0, 10.0, 0, True), (3.0, -10.0, 0, False))
    assert witnessed(INPUTS, own, lambda _: seeing(own)).sure.tolist() == [True, False]


def test_lesson_stays_as_it_is_when_there_is_no_camera() -> None:
    own = lesson((12.0, 1.0, 0, True))
    assert witnessed(ModelInput(lidar=torch.zeros(1, 6, 64, 64)), own, lambda _: seeing(own)) is own


def test_classes_are_read_and_refused_in_one_line() -> None:
    assert parse_classes("car=2, pedestrian=0", LABELS) == {2: 0, 0: 1}
    for wrong in ("car", "lorry=1", "car=-1", ""):
        with pytest.raises(ConfigError, match="--detector-classes"):
            parse_classes(wrong, LABELS)


def test_witness_is_refused_when_the_file_is_no_onnx(tmp_path: Path) -> None:
    path = tmp_path / "none.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(BackendError, match=r"none\.onnx"):
        open_witness(path, {0: 0})


def onnx_file(path: Path, shape: tuple[int, ...], kind: int, corners: NDArray[np.float32]) -> Path:
    """A detector that finds the same whatever it is shown."""
    onnx = pytest.importorskip("onnx", reason="needs onnx, onnxscript and onnxruntime")
    pytest.importorskip("onnxruntime", reason="needs onnx, onnxscript and onnxruntime")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    fixed = {
        "boxes": corners[None],
        "classes": np.full((1, len(corners)), 7, np.int64),
        "scores": np.full((1, len(corners)), 0.8, np.float32),
    }
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in fixed.items()
    ]
    kinds = {"boxes": 1, "classes": 7, "scores": 1}
    outputs = [helper.make_tensor_value_info(name, kinds[name], value.shape) for name, value in fixed.items()]
    graph = helper.make_graph(nodes, "fixed", [helper.make_tensor_value_info("image", kind, shape)], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("shape", "kind", "corners"),
    [
        ((1, 3, 256, 768), 1, (20.0, 40.0, 60.0, 80.0)),  # pixels of the input
        ((1, 256, 768, 3), 2, (20 / 768, 40 / 256, 60 / 768, 80 / 256)),  # shares of its sides
    ],
)
def test_witness_gives_pixels_of_the_image_when_the_file_has_another_size(
    tmp_path: Path, shape: tuple[int, ...], kind: int, corners: tuple[float, ...]
) -> None:
    file = onnx_file(tmp_path / "fixed.onnx", shape, kind, np.array([corners], np.float32))
    flat = open_witness(file, {7: 2})(np.zeros((128, 384, 3), np.uint8))
    assert flat.corners[0] == pytest.approx((10.0, 20.0, 30.0, 40.0), abs=1e-3)
    assert flat.classes.tolist() == [2]
    assert flat.scores.tolist() == pytest.approx([0.8])
