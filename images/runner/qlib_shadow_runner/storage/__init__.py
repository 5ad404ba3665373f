"""The disk: files that are replaced whole, the volume, its locks, mounts, durability and removal."""
