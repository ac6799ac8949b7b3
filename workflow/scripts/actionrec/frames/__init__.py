"""Decode videos to RGB frames and optical flow, and list what was made of which video."""
