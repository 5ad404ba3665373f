"""What may be typed, family by family of commands: names, options and help, and nothing of what they do."""
