"""Run one TAO task for a rule and read what it left: status, checkpoints, metrics, predictions."""
