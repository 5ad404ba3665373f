"""How often a book leaves its bands by chance, and how soon it is found where it earns less."""
