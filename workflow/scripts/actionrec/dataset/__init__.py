"""Divide videos into parts, lay them out as TAO reads them, show them before training."""
