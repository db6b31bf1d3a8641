"""Training in the synthetic world: targets, losses, modality dropout, the trainer, and evaluation."""
