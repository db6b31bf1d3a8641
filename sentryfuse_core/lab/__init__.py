"""The workshop: worlds, data sets, training, studies and benches; nothing of the robot imports it."""
