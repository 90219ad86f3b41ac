"""The HTTP service: predictions, what is remembered of them, and operations."""
