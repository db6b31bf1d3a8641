"""Whether a sensor may be believed: content criteria and the health state machine."""
