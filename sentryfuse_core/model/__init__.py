"""The fused transformer: encoders, bird's-eye-view canvas, SentryAttend trunk, detection head."""
