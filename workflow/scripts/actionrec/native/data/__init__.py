"""From frames on disk to batches of clips."""
