"""State, step, loop, checkpoints; one short file per algorithm; launch."""
