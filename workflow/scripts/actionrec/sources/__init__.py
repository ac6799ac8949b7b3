"""Obtain videos and split files: downloads, archives, folders, clip lists, SHAD, the demo."""
