"""Decode videos to RGB frames and optical flow, and list what was made of which video.

From a file to its images: `videos` names it, `segments` says which part is used, `decoding` reads
it, `checks` decides whether it is whole, `encoders` makes image files. `extraction` and `flow` do
so for a class, in the processes of `parallel`, and write `manifest` and `flow_manifest`;
`staleness` compares these with the disk before the next run.
"""
