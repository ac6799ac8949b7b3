"""Several processes for one task: how they start, and what they exchange."""
