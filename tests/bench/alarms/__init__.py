"""How often drift and decay ring falsely, and how soon they find what is there."""
