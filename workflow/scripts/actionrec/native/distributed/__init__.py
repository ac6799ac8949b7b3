"""Several processes for one task, one for each GPU: their start, and what they exchange."""
