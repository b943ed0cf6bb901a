"""What changed between two sessions or two runs, and which differences a person accepted."""
