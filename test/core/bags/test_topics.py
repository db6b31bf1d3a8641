"""Topics found by type, by likelihood of their names, or as asked."""

from __future__ import annotations

import pytest

from sentryfuse_core.bags.readers import Topic
from sentryfuse_core.bags.topics import parse_overrides, select
from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import TopicError
from sentryfuse_core.types import Modality

CAMERA, LIDAR, IMU, AUDIO = Modality
IMAGE, JPEG = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CLOUD, INFO = "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/CameraInfo"
NUMBERS = "std_msgs/msg/Int16MultiArray"


def chosen(*topics: Topic, config: Config | None = None, **overrides: str) -> dict[Modality, str]:
    wanted = {Modality(name): topic for name, topic in overrides.items()}
    found = select(topics, wanted, config=config or Config())
    return {modality: topic.name for modality, topic in found.topics.items()}


def test_select_takes_each_sensor_by_type() -> None:
    topics = (
        Topic("/a", JPEG, 3),
        Topic("/b", CLOUD, 3),
        Topic("/c", "sensor_msgs/msg/Imu", 9),
        Topic("/d", "audio_common_msgs/msg/AudioStamped", 9),
        Topic("/e", "nav_msgs/msg/Odometry", 9),
    )
    assert chosen(*topics) == {CAMERA: "/a", LIDAR: "/b", IMU: "/c", AUDIO: "/d"}


@pytest.mark.parametrize("overrides", [{}, {CAMERA: "/mixed", IMU: "/mixed"}])
def test_select_takes_each_type_by_itself_when_a_topic_was_recorded_under_several(
    overrides: dict[str, str],
) -> None:
    imu, other = "sensor_msgs/msg/Imu", "std_msgs/msg/String"
    topics = [Topic("/mixed", kind, count) for kind, count in ((IMAGE, 9), (imu, 50), (other, 3))]
    found = select(topics, overrides, config=Config())
    assert found.feeds == {("/mixed", IMAGE): CAMERA, ("/mixed", imu): IMU}
    (told,) = (note for note in found.notes if "left out" in note)
    assert other in told


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Topic("/front", IMAGE, 10), Topic("/depth/image", IMAGE, 99)),
        (Topic("/front", IMAGE, 10), Topic("/cam_rear", IMAGE, 99)),
        (Topic("/front", IMAGE, 10), Topic("/front/compressed", JPEG, 99)),
        (Topic("/camera/image", IMAGE, 10), Topic("/aaa", IMAGE, 99)),
        (Topic("/camera/image/compressed", JPEG, 10), Topic("/aaa", IMAGE, 99)),
        (Topic("/many", JPEG, 99), Topic("/few", JPEG, 10)),
        (Topic("/used", JPEG, 1), Topic("/empty", JPEG, 0)),
        (Topic("/zed/left/image_rect_color", IMAGE, 10), Topic("/zed/confidence/confidence_map", IMAGE, 99)),
        (Topic("/cam/image_raw", IMAGE, 10), Topic("/cam/segmentation/colored", IMAGE, 99)),
        (Topic("/cam/image_raw", IMAGE, 10), Topic("/yolo/annotated", IMAGE, 99)),
        (Topic("/cam/image_raw", IMAGE, 10), Topic("/ouster/range_image", IMAGE, 99)),
    ],
)
def test_select_prefers_the_likelier_topic_when_several_fit(better: Topic, worse: Topic) -> None:
    assert chosen(worse, better) == {CAMERA: better.name}
    assert chosen(better, worse) == {CAMERA: better.name}


@pytest.mark.parametrize(
    "worse",
    ["/radar/points", "/ground_points", "/map", "/obstacles", "/accumulated/cloud", "/depth/color/points"],
)
@pytest.mark.parametrize("better", ["/velodyne_points", "/ouster/points", "/points_raw", "/scan3d"])
def test_select_prefers_the_lidar_itself_when_others_have_its_type(better: str, worse: str) -> None:
    assert chosen(Topic(worse, CLOUD, 99), Topic(better, CLOUD, 10)) == {LIDAR: better}


@pytest.mark.parametrize(("overrides", "robot"), [({}, "/r1"), ({LIDAR: "/r2/lidar/points"}, "/r2")])
def test_select_stays_with_one_robot_when_several_have_the_same_topics(
    overrides: dict[str, str], robot: str
) -> None:
    kinds = {
        "camera/image": IMAGE,
        "lidar/points": CLOUD,
        "imu": "sensor_msgs/msg/Imu",
        "odom": "nav_msgs/msg/Odometry",
    }
    counts = {"/r1": (9, 8, 7, 7), "/r2": (8, 9, 9, 9)}
    topics = [
        Topic(f"{space}/{name}", kinds[name], count)
        for space, own in counts.items()
        for name, count in zip(kinds, own, strict=True)
    ]
    found = select(topics, overrides, config=Config())
    names = [topic.name for topic in (*found.topics.values(), found.odometry) if topic]
    assert names == [f"{robot}/{name}" for name in kinds]


def test_select_takes_the_sides_of_a_robot_for_no_other_robot_when_each_has_a_camera() -> None:
    rig = {"sensors": ["left", "right", "imu"], "left.kind": "camera", "right.kind": "camera"}
    cameras = [Topic(f"/{side}/image", IMAGE, 9) for side in ("left", "right")]
    imus = [Topic("/left/imu", "sensor_msgs/msg/Imu", 99), Topic("/phone/imu", "sensor_msgs/msg/Imu", 9)]
    found = select([*cameras, *imus], {}, config=override(Config(), rig))
    assert found.topics[IMU].name == "/left/imu"


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_select_prefers_a_picture_when_the_other_is_encoded_as_depth(encoding: str) -> None:
    topics = (Topic("/camera/image", IMAGE, 99), Topic("/x", IMAGE, 3))
    found = select(
        topics, {}, config=Config(), encoding=lambda topic: encoding if topic.count == 99 else "rgb8"
    )
    assert found.topics[CAMERA].name == "/x"
    assert found.notes == (
        f"camera: took /x, not /camera/image ({encoding}: depth); --topic camera=NAME overrides",
    )


@pytest.mark.parametrize(
    ("type_name", "modality", "remedy"),
    [
        ("livox_ros_driver2/msg/CustomMsg", LIDAR, "xfer_format"),
        ("livox_ros_driver/CustomMsg", LIDAR, "xfer_format"),
        ("velodyne_msgs/msg/VelodyneScan", LIDAR, "velodyne_pointcloud"),
        ("ouster_ros/msg/PacketMsg", LIDAR, "os_cloud"),
        ("sensor_msgs/msg/LaserScan", LIDAR, "one plane"),
        ("foxglove_msgs/msg/CompressedVideo", CAMERA, "JPEG"),
        ("ffmpeg_image_transport_msgs/msg/FFMPEGPacket", CAMERA, "republish"),
        ("theora_image_transport/msg/Packet", CAMERA, "republish"),
    ],
)
def test_select_says_why_there_is_no_sensor_when_its_type_is_not_understood(
    type_name: str, modality: Modality, remedy: str
) -> None:
    topics = (Topic("/there", type_name, 9), Topic("/imu/data", "sensor_msgs/msg/Imu", 9))
    (note,) = select(topics, {}, config=Config()).notes
    assert note.startswith(f"no {modality.value}: /there is {type_name}; ")
    assert remedy in note
    with pytest.raises(TopicError, match=remedy):
        select(topics[:1], {}, config=Config())
    config = override(Config(), {f"{modality.value}.enabled": False})
    assert select(topics, {}, config=config).notes == ()


@pytest.mark.parametrize(
    ("infos", "expected"),
    [
        (("/mic/audio_info", "/x/info"), "/mic/audio_info"),
        (("/x/info",), "/x/info"),
        (("/x/a", "/x/b"), None),
    ],
)
def test_select_finds_audio_info_beside_the_audio(infos: tuple[str, ...], expected: str | None) -> None:
    kind = "audio_common_msgs/msg/Audio"
    topics = (Topic("/mic/audio", f"{kind}Data", 9), *(Topic(name, f"{kind}Info", 1) for name in infos))
    assert select(topics, {}, config=Config()).audio_infos.get(AUDIO) == expected
    assert select((*topics[1:], Topic("/a", JPEG, 9)), {}, config=Config()).audio_infos == {}


def test_select_takes_plain_numbers_as_audio_only_when_name_says_so() -> None:
    assert chosen(Topic("/wheel_ticks", NUMBERS, 9), Topic("/a", JPEG, 1)) == {CAMERA: "/a"}
    assert chosen(Topic("/mic/samples", NUMBERS, 9)) == {AUDIO: "/mic/samples"}
    assert chosen(Topic("/wheel_ticks", NUMBERS, 9), audio="/wheel_ticks") == {AUDIO: "/wheel_ticks"}


def test_select_leaves_a_disabled_sensor_out_and_names_enabled_ones_that_are_missing() -> None:
    config = override(Config(), {"imu.enabled": False})
    topics = [Topic("/b", CLOUD, 3), Topic("/c", "sensor_msgs/msg/Imu", 9)]
    found = select(topics, {}, config=config)
    assert (found.missing, [*found.topics]) == ((CAMERA, AUDIO), [LIDAR])


@pytest.mark.parametrize(
    ("topic", "overrides", "says"),
    [
        (Topic("/cam/front", JPEG, 3), {"camera": "/cam/frnt"}, "did you mean /cam/front"),
        (Topic("/a", JPEG, 3), {"lidar": "/a"}, "lidar understands sensor_msgs/msg/PointCloud2"),
        (Topic("/odom", "nav_msgs/msg/Odometry", 9), {}, "nav_msgs/msg/Odometry"),
        (
            Topic("/empty", JPEG, 0),
            {},
            "of a type read here .*sensor_msgs/PointCloud2.*/empty .*, no messages",
        ),
    ],
)
def test_select_raises_when_an_override_does_not_fit_or_nothing_is_left(
    topic: Topic, overrides: dict[str, str], says: str
) -> None:
    with pytest.raises(TopicError, match=says):
        chosen(topic, **overrides)


@pytest.mark.parametrize("text", ["camera", "camera=", "sonar=/a", "=/a"])
def test_parse_overrides_raises_when_text_is_no_assignment(text: str) -> None:
    with pytest.raises(TopicError, match="SENSOR=TOPIC"):
        parse_overrides([text], Config())


@pytest.mark.parametrize(
    ("camera", "infos", "expected"),
    [
        ("/cam/image", ("/cam/camera_info", "/other/camera_info"), "/cam/camera_info"),
        ("/cam/image/compressed", ("/cam/camera_info", "/other/camera_info"), "/cam/camera_info"),
        ("/x", ("/camera/camera_info", "/other/camera_info"), "/camera/camera_info"),
        ("/x", ("/only/info",), "/only/info"),
        ("/cam_front", ("/cam_front/camera_info", "/cam_rear/camera_info"), "/cam_front/camera_info"),
        ("/left/image_rect", ("/left/camera_info_rect", "/right/camera_info_rect"), "/left/camera_info_rect"),
        ("/left/image_rect", ("/left/camera_info_raw", "/left/camera_info_rect"), "/left/camera_info_rect"),
        ("/left/image_raw", ("/left/camera_info_raw", "/left/camera_info_rect"), "/left/camera_info_raw"),
        ("/x", ("/one/info", "/two/info"), None),
        ("/x", (), None),
    ],
)
def test_select_finds_camera_info_beside_the_camera(
    camera: str, infos: tuple[str, ...], expected: str | None
) -> None:
    topics = (Topic(camera, IMAGE, 5), *(Topic(name, INFO, 5) for name in infos))
    assert select(topics, {}, config=Config()).camera_infos.get(CAMERA) == expected


def test_select_takes_the_infos_that_were_asked_for_when_others_lie_beside() -> None:
    kind = "audio_common_msgs/msg/Audio"
    topics = (
        *(Topic(name, INFO, 5) for name in ("/cam/camera_info", "/calibrated/info")),
        *(Topic(name, f"{kind}Info", 1) for name in ("/mic/audio_info", "/other")),
        Topic("/cam/image", IMAGE, 5),
        Topic("/mic/audio", f"{kind}Data", 5),
    )
    config = override(Config(), {"camera.info_topic": "calibrated/info", "audio.info_topic": "/other"})
    found = select(topics, {}, config=config)
    assert (found.camera_infos, found.audio_infos) == ({CAMERA: "/calibrated/info"}, {AUDIO: "/other"})


def test_select_names_the_camera_infos_when_none_is_the_cameras() -> None:
    topics = (Topic("/x", IMAGE, 5), Topic("/one/info", INFO, 5), Topic("/two/info", INFO, 5))
    (note,) = select(topics, {}, config=Config()).notes
    assert "none of the CameraInfo topics /one/info, /two/info" in note
    assert "camera.info_topic" in note


@pytest.mark.parametrize(
    ("topic", "sensor", "word"),
    [
        (Topic("/radar/points", CLOUD, 9), LIDAR, "radar"),
        (Topic("/camera/depth/color/points", CLOUD, 9), LIDAR, "camera"),
        (Topic("/zed/depth/image", IMAGE, 9), CAMERA, "depth"),
        (Topic("/gimbal/imu", "sensor_msgs/msg/Imu", 9), IMU, "gimbal"),
        (Topic("/velodyne_points", CLOUD, 9), LIDAR, ""),
        (Topic("/rear/image", IMAGE, 9), CAMERA, ""),
    ],
)
def test_select_tells_when_the_only_topic_of_a_type_is_named_after_other_data(
    topic: Topic, sensor: Modality, word: str
) -> None:
    found = select((topic,), {}, config=Config())
    assert found.topics[sensor] == topic
    assert [repr(word) in note and "overrides" in note for note in found.notes] == ([True] if word else [])
    asked = select((topic,), {sensor: topic.name}, config=Config())
    assert asked.notes == ()


ODOMETRY = "nav_msgs/msg/Odometry"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("/wheel/odom",), "/wheel/odom"),
        (("/odometry/global", "/odometry/filtered"), "/odometry/filtered"),
        (("/gps/odom", "/x"), "/x"),
        (("/ground_truth/odom", "/odometry"), "/odometry"),
        (("/a", "/b/odom"), "/b/odom"),
        ((), None),
    ],
)
def test_select_takes_the_odometry_that_goes_on_smoothly(
    names: tuple[str, ...], expected: str | None
) -> None:
    topics = (Topic("/points", CLOUD, 9), *(Topic(name, ODOMETRY, 50) for name in names))
    found = select(topics, {}, config=Config())
    assert (found.odometry.name if found.odometry else None) == expected
    told = [note for note in found.notes if note.startswith("odometry: ")]
    assert len(told) == (len(names) > 1)
    assert (expected is None) == (found.feeds.keys() == {("/points", CLOUD)})
    off = select(topics, {}, config=override(Config(), {"odometry.enabled": False}))
    assert off.odometry is None
    assert off.feeds == {("/points", CLOUD): LIDAR}


def test_select_takes_the_odometry_that_is_asked_for() -> None:
    topics = (Topic("/points", CLOUD, 9), Topic("/odometry", ODOMETRY, 50), Topic("/other", ODOMETRY, 50))
    sensors, config = parse_overrides(["odometry=/other", "lidar=/points"], Config())
    assert sensors == {LIDAR: "/points"}
    found = select(topics, sensors, config=config)
    assert found.odometry == topics[2]
    assert found.feeds["/other", ODOMETRY] is None
    for name, words in (("/points", "understands nav_msgs/msg/Odometry"), ("/othr", "did you mean /other")):
        with pytest.raises(TopicError, match=words):
            select(topics, {}, config=parse_overrides([f"odometry={name}"], Config())[1])
