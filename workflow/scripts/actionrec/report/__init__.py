"""Compare experiments and explain results: tables for programs, and a page for people."""
