"""Encoders as torch modules: the parts that need the extra `train`. Nothing on the serving side imports this package."""
