"""Training an encoder of our own (extra `train`): corpus → scenes → contrast and ranking → checkpoint → ONNX."""
