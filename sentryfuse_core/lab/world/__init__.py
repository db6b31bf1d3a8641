"""A synthetic world seen by a camera, a lidar, an IMU and two microphones, with ground truth boxes."""
