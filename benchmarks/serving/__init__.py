"""How fast the service answers, next to the same pipeline without HTTP: `python -m benchmarks.serving`."""
