"""What goes out of the pipeline: result messages and diagnostics, as plain values."""
