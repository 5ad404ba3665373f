"""What qrun does, step by step: each leaves a checkpoint, so that a later attempt goes on where one ended."""
