"""How a detector is judged over many sets of sensors and conditions."""
