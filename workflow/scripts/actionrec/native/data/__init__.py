"""From frames on disk to batches of clips on the device.

`videos` lists the files, `frame_sampling` chooses frames, `frame_cache` reads and keeps them,
`datasets` cuts clips out of them, `samplers` puts clips into batches, `dataloader` has worker
processes write the batches, `prefetch` copies them to the GPU and `transforms` normalises them.
"""
