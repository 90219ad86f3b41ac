"""Encoders as torch modules: what needs the extra `train`. Nothing on the serving side imports this package."""
