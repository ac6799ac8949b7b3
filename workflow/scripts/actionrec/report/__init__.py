"""Compare experiments: a table, plots and a page."""
