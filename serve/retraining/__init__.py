"""Retraining: when it is due, what it learns from, whether the result is better, and the process it runs in."""
