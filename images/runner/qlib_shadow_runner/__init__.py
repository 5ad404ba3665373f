"""The stages of a shadow run, and `qlib-shadow`, the command line around them."""
