"""Decode videos to RGB frames and optical flow, and list what was made of which video.

From a file to its images: `videos` names it, `segments` says which part is used, `decoder` reads it
and refuses what is damaged, `encoders` makes image files. `extraction` and `flow` do so for a
class, which `class_folder` holds meanwhile, by `parallel` and in the processes of `workers`, and
write `manifest` and `flow_manifest`; `staleness` compares these with the disk before the next run.
"""
