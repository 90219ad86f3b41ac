"""From the bytes of a clip to a verdict: decoding, embedding, training, scoring, artifacts. Knows nothing of HTTP."""
