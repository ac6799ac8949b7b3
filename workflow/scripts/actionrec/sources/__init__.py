"""Obtain videos and split files: one module for each kind of `dataset.source`.

What a source must leave, so that the rest of the workflow need not know it:

- **A table of each class's videos.** Either the class's folder of videos,
  `resources/<dataset>/videos/<class>/`, real or a link, with `frames.videos.write_files_table`
  (`archives`, `folder`, `demo` through `archives`); or, where videos lie elsewhere or only parts
  of them are used, `frames.segments.write_segments`: name, file, seconds (`table`, `shad`).
- **A table of crops**, `frames.segments.write_crops`, if pictures are cut out of frames (`shad`).
- **A table of parts**, `write_parts` in `table`, if the source itself says which video is for
  training and which for testing, and which belong together (`table`). Official split files are
  read by `split_files`.

A table must be the same for the same videos, since Snakemake compares it; bad input raises
`InputError` before anything is written. A new source is a module here, a rule file with
the other sources' and its value of `dataset.source` in the configuration.
"""
