"""How good detections are: metrics, calibration of scores and reference detectors, in numpy."""
