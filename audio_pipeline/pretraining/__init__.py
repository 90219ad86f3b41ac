"""Training the default encoder from scratch (extra `train`): corpus → scenes → contrastive loss → checkpoint → ONNX."""
