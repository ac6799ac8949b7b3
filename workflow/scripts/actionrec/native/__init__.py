"""The project's own engine: a drop-in for TAO's `action_recognition` command."""
