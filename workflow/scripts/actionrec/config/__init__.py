"""The workflow's configuration: its keys, its checks, and the questions that rules ask of it."""
