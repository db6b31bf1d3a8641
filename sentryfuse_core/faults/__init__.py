"""Sensors broken on purpose: kinds, scenarios and how they change messages."""
