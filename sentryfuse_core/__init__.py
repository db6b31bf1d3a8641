"""Multi-sensor perception that survives missing sensors; no ROS in here."""

__version__ = "0.1.0"
