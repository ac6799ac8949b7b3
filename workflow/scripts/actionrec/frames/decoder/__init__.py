"""Decode a video file to the frames that a player shows, each with its time.

`video.open_video` is what the rest of the package uses; `faults.BadVideo` is why a video cannot be
used. Everything else here serves one purpose of `video` each.
"""
