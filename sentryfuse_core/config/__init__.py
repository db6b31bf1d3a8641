"""Every default, once: frozen sections with units, ranges and help, read from YAML or ROS parameters.

Each section has its file. The dotted path of a field (`sync.max_wait_s`) is its name in YAML, on the command
line and as a ROS parameter. Unknown keys and values out of range raise ConfigError; nothing is corrected in
silence.
"""

from sentryfuse_core.config.audio import AudioConfig
from sentryfuse_core.config.budget import BudgetConfig
from sentryfuse_core.config.camera import CameraConfig
from sentryfuse_core.config.files import foreign, from_mapping, load_yaml, read_values
from sentryfuse_core.config.health import HealthConfig
from sentryfuse_core.config.imu import ImuConfig
from sentryfuse_core.config.lidar import LidarConfig
from sentryfuse_core.config.model import ModelConfig
from sentryfuse_core.config.odometry import OdometryConfig
from sentryfuse_core.config.option import Option, in_words
from sentryfuse_core.config.output import OutputConfig
from sentryfuse_core.config.sensor import SensorConfig
from sentryfuse_core.config.sensors import KINDS, Kinds
from sentryfuse_core.config.sync import SyncConfig
from sentryfuse_core.config.tracking import TrackingConfig
from sentryfuse_core.config.whole import Config, kinds_of, options, override, to_mapping, value_of

__all__ = [
    "KINDS",
    "AudioConfig",
    "BudgetConfig",
    "CameraConfig",
    "Config",
    "HealthConfig",
    "ImuConfig",
    "Kinds",
    "LidarConfig",
    "ModelConfig",
    "OdometryConfig",
    "Option",
    "OutputConfig",
    "SensorConfig",
    "SyncConfig",
    "TrackingConfig",
    "foreign",
    "from_mapping",
    "in_words",
    "kinds_of",
    "load_yaml",
    "options",
    "override",
    "read_values",
    "to_mapping",
    "value_of",
]
