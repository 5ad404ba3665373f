"""How often the verdict finds something in noise, and how often a weak signal."""
