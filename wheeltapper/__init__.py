"""The command line, and what starts everything on one machine; it alone may import every part, lazily."""
