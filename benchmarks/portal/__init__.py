"""How fast the portal is, and how much memory a long visit takes."""
