"""Asking people: what is worth a question, the signed links, the facts of a message, and its delivery."""
