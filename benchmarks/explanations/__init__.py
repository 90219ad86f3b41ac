"""How well explanations name what is known."""
