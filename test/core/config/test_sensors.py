"""Tests of sensors by name: which there are, their kinds and sections, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sentryfuse_core.config import Config, from_mapping, kinds_of, load_yaml, options, override, to_mapping
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.types import Modality

RIG: dict[str, Any] = {
    "sensors": ["front_camera", "rear_camera", "top_lidar", "imu", "mic"],
    "front_camera.kind": "camera",
    "rear_camera.kind": "camera",
    "top_lidar.kind": "lidar",
    "mic.kind": "audio",
}


def test_sensors_are_the_four_kinds_when_nobody_names_any() -> None:
    config = Config()
    assert tuple(config.sensors) == ("camera", "lidar", "imu", "audio") == tuple(Modality)
    assert [config.kind_of(name) for name in config.sensors] == list(Modality)
    assert config == override(Config(), {"sensors": ["camera", "lidar", "imu", "audio"]})
    assert "sensors" not in to_mapping(config)


def test_sensors_have_sections_of_their_kind_when_they_are_named() -> None:
    config = override(Config(), {**RIG, "rear_camera.fx": 500.0, "mic.spacing_m": 0.2})
    assert config.of_kind(Modality.CAMERA) == ("front_camera", "rear_camera")
    assert config.kind_of("imu") is Modality.IMU
    topics = {name: section.topic for name, section in config.sensors.items()}
    assert topics["rear_camera"] == "rear_camera/image"
    assert topics["top_lidar"] == "top_lidar/points"
    assert topics["imu"] == "imu/data"
    assert topics["mic"] == "mic"
    assert (config.sensor("rear_camera").fx, config.sensor("front_camera").fx) == (500.0, 320.0)  # type: ignore[attr-defined]
    assert config.sensor("rear_camera").info_topic == "rear_camera/camera_info"  # type: ignore[attr-defined]
    assert config.sensor("mic").info_topic == "mic_info"  # type: ignore[attr-defined]
    with pytest.raises(KeyError):
        config.sensor("camera")


def test_options_are_those_of_the_named_sensors_when_there_are_any() -> None:
    paths = [option.path for option in options(kinds_of(RIG))]
    assert {"rear_camera.kind", "rear_camera.fx", "mic.window_s", "imu.topic"} <= {*paths}
    assert not any(path.startswith(("camera.", "lidar.", "audio.")) for path in paths)
    assert "imu.kind" not in paths  # it is called like its kind
    assert len(paths) == len({*paths})


def test_configuration_is_the_same_when_it_is_written_and_read_again(tmp_path: Path) -> None:
    config = override(Config(), {**RIG, "rear_camera.stamp_offset_s": 0.01, "model.max_level": 1})
    assert from_mapping(to_mapping(config)) == config
    file = tmp_path / "rig.yaml"
    parameters = {"sentryfuse": {"ros__parameters": to_mapping(config) | {"elsewhere.rate": 3}}}
    file.write_text(yaml.safe_dump(yaml.safe_load(yaml.dump(_plain(parameters)))))
    assert load_yaml(file) == config


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def test_override_keeps_what_was_given_when_another_sensor_is_added() -> None:
    config = override(Config(), {**RIG, "top_lidar.expected_lag_s": 0.1})
    more = override(config, {"sensors": [*config.sensors, "rear_lidar"], "rear_lidar.kind": "lidar"})
    assert more.sensor("top_lidar").expected_lag_s == 0.1  # type: ignore[attr-defined]
    assert more.of_kind(Modality.LIDAR) == ("top_lidar", "rear_lidar")


NINE = [f"camera_{number}" for number in range(9)]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"sensors": ["lidar", "lidar"]}, "sensors names 'lidar' twice"),
        ({"sensors": []}, "sensors is empty"),
        ({"sensors": "camera"}, "give a list of texts"),
        ({"sensors": ["front"]}, "front.kind is not given: give one of camera, lidar, imu, audio"),
        ({"sensors": ["front"], "front.kind": "radar"}, "front.kind = 'radar': give one of camera"),
        ({"sensors": ["lidar"], "lidar.kind": "camera"}, "a sensor called 'lidar' is of that kind"),
        ({"sensors": ["9th"], "9th.kind": "imu"}, "'9th'; a name has letters"),
        ({"sensors": ["sync"], "sync.kind": "imu"}, "no sensor can be called 'sync'"),
        ({"sensors": ["lidar"], "camera.fx": 1.0}, "no sensor is called 'camera'; `sensors` names lidar"),
        ({"sensors": ["all"], "all.kind": "imu"}, "no sensor can be called 'all'"),
        ({**RIG, "front_camra.fx": 1.0}, "did you mean 'front_camera.fx'?"),
        (
            {**RIG, "rear_camera.topic": "/front_camera/image/"},
            "front_camera.topic and rear_camera.topic",
        ),
        ({"sensors": NINE, **{f"{name}.kind": "camera" for name in NINE}}, "has 9 of kind camera; at most 8"),
        (
            {**RIG, "output.extrinsics": "parameters"},
            "front_camera has no pose: set front_camera.tr",
        ),
        ({**RIG, "top_lidar.quaternion_xyzw": [0, 0, 0, 2]}, "top_lidar.quaternion_xyzw has squared norm 4"),
        ({**RIG, "top_lidar.expected_rate_hz": 20.0}, "more than half a period of top_lidar"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:30],
)
def test_override_refuses_in_one_line_when_sensors_do_not_fit(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override(Config(), values)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
