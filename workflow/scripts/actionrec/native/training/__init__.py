"""What a training is made of: its state, its steps, its schedules."""
