"""Fixtures of the engine's tests."""

from engine import drawn, trained

__all__ = ["drawn", "trained"]
