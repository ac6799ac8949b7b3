"""Say what this machine has and lacks for a run, before hours have gone into it."""
