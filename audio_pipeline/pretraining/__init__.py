"""Training an encoder of our own (extra `train`): corpus → scenes → directions and contrast → checkpoint → ONNX."""
