"""How it is trained: batches, trainer, phases."""
