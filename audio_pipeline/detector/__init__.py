"""The detector: vectors of windows → anomaly scores and p-values.

    backends    fitting, in numpy and scikit-learn        calibration   conformal scores from the same normals
    graph       what was fitted → one ONNX graph          training      reference → a published model
    classifier  the graph under ONNX Runtime              manifest      `model.json`

Serving needs `classifier` and `manifest` alone; they import no scikit-learn.
"""
