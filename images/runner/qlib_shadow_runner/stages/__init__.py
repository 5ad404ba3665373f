"""The stages of a run. What surrounds a stage is in `stage`, what it does in a module of its name."""
