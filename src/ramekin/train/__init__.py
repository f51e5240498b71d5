"""Fine-tuning: objective, optimizers, loop, checkpoints of a run and its exact resume."""
