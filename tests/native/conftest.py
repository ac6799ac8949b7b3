"""Fixtures of the engine's tests."""

from engine import drawn, moving, trained

__all__ = ["drawn", "moving", "trained"]
