"""What every stage uses: files, tables, checksums, locks, processes, environments."""
