"""Faults that the workflow survives: one table, a file of entries for each area.

`make test` runs all of it; `make faults` runs it longer, with random seeds. docs/reliability.md is
written from it by `python -m faults.document` (see there).
"""
