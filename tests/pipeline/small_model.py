"""A real classifier of a few ONNX nodes: distance from the mean of the normals, conformal p-values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from audio_pipeline.artifacts import ModelStore
from audio_pipeline.decision import Calibration
from audio_pipeline.detector.manifest import FalseAlarmRate, FusionMember, ModelManifest, TrainingData
from audio_pipeline.reference import Reference


def publish(artifacts: Path, reference: Reference, rate: float = 0.05, parent: str | None = None) -> str:
    """Fit it on a reference's normals, publish it; it does not serve yet."""
    normals = reference.vectors[~reference.targets]
    mean, deviation = normals.mean(axis=0), normals.std(axis=0) + 1e-3
    scores = np.sort(np.mean(((normals - mean) / deviation) ** 2, axis=1).astype(np.float32))[::-1]
    rows, width = len(scores), normals.shape[1]
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["embedding", "mean"], ["from_mean"]),
            helper.make_node("Div", ["from_mean", "deviation"], ["scaled"]),
            helper.make_node("Mul", ["scaled", "scaled"], ["squared"]),
            helper.make_node("ReduceMean", ["squared", "columns"], ["score"], keepdims=0),
            helper.make_node("Unsqueeze", ["score", "columns"], ["column"]),
            helper.make_node("GreaterOrEqual", ["calibration", "column"], ["higher"]),
            helper.make_node("Cast", ["higher"], ["counted"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["counted", "columns"], ["count"], keepdims=0),
            helper.make_node("Add", ["count", "one"], ["rank"]),
            helper.make_node("Div", ["rank", "all"], ["p_value"]),
        ],
        "small",
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", width]),
            helper.make_tensor_value_info("machine", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("confirmed", TensorProto.FLOAT, ["M", width]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in ("score", "p_value")],
        [
            numpy_helper.from_array(mean.astype(np.float32), "mean"),
            numpy_helper.from_array(deviation.astype(np.float32), "deviation"),
            numpy_helper.from_array(scores[None, :].copy(), "calibration"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "columns"),
            numpy_helper.from_array(np.array(1, dtype=np.float32), "one"),
            numpy_helper.from_array(np.array(rows + 1, dtype=np.float32), "all"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    calibration = Calibration(rows, tuple(range(1, rows + 1)), tuple(scores.tolist()))
    manifest = ModelManifest(
        created=f"2026-01-01T00:00:0{0 if parent is None else 1}Z",
        parent=parent,
        encoder_name=reference.encoder_name,
        encoder_sha256=reference.encoder_sha256,
        dimensions=width,
        machines=tuple(np.unique(reference.machines).tolist()),
        members=(FusionMember(group="all", backend="mean", start=0, stop=width),),
        calibration={"known": calibration, "unknown": calibration},
        calibration_recordings=rows,
        false_alarm_rate=FalseAlarmRate(asked=rate, reachable=1 / (rows + 1), used=max(rate, 1 / (rows + 1))),
        thresholds={key: calibration.threshold(rate) for key in ("known", "unknown")},
        metrics={},
        data=TrainingData(
            reference_sha256=reference.sha256,
            reference_rows=len(reference),
            production_rows=0,
            normal_rows=rows,
            anomaly_rows=0,
            held_out_rows=0,
        ),
        levels_db={"fan/id_00": (float(reference.levels_db.min()), float(reference.levels_db.max()))},
    )
    return ModelStore(artifacts).publish({"classifier.onnx": model.SerializeToString()}, manifest.to_json())
