"""What was fitted → one ONNX graph: embedding, machine and confirmed faults in, score and p-value out.

Here: the graph's nodes, and nothing fitted or measured. Not here: fitting (`backends`), running it (`classifier`).

    embedding ─► per group: standardise ─► whiten, neighbours ─► mean of backends ─► fused groups    [K models, N rows]
                            (or, in a unit that training gave the columns: distance from the nearest normal)
                                           └► likeness to its confirmed faults ─► lifts         [H of them have any]
    machine ────► its own model, or the lowest of all for an unknown machine
    confirmed ──► nearness to a confirmed fault, whitened or in its unit ─► lifts the score towards the top of the
                  calibration
    calibration ► p = (1 + #{calibration scores >= score}) / (rows + 1)

Every row is scored under every machine's model, and one of them chosen: a row's result depends on that row alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from audio_pipeline.detector.backends import (
    SAME,
    SAME_UNIT,
    SHARPNESS,
    AbsoluteGroup,
    GroupModel,
    MachineModel,
    RelativeGroup,
)
from audio_pipeline.detector.covariance import Whitening
from audio_pipeline.detector.head import LIKENESS_SHARPNESS, Head
from audio_pipeline.detector.supervision import Odds

OPSET = 18
OUTPUTS = ("score", "p_value", "probability")
_NEVER_NEAREST = 1e30
TWIN_LIFT = 1.0
"""How far above the highest calibration score a perfect twin of a confirmed fault comes."""


def build(
    models: Sequence[MachineModel],
    machines: Sequence[str],
    width: int,
    calibration: NDArray[np.float32],
    calibration_unknown: NDArray[np.float32],
    confirmed: NDArray[np.float32],
    odds: Odds | None = None,
) -> bytes:
    """Write the graph.

    Parameters
    ----------
    models
        K of them; together they cover `machines`.
    machines
        Names in the order of their index, from 1.
    width
        Columns of the embedding.
    calibration, calibration_unknown
        float32[n]: scores of normals, for a known and for an unknown machine.
    confirmed
        float32[C, width]: faults known when it was trained; those confirmed later come through the input.
    odds
        Score → probability; None: not known, NaN.
    """
    graph = _Graph()
    embedding, machine = "embedding", "machine"
    groups, group_scores, whites = [], [], {}
    for position in range(len(models[0].groups)):
        fitted = [model.groups[position] for model in models]
        group = _Whitened(graph, [g.white for g in fitted])
        absolute = [g for g in fitted if isinstance(g, AbsoluteGroup)]
        if absolute:
            placed = group.centred(embedding)
            group_scores.append(_absolute_score(graph, placed, absolute))
        else:
            standard = group.standardise(embedding)
            placed = whites[fitted[0].name] = graph.node("MatMul", standard, group.matrix)
            relative = [g for g in fitted if isinstance(g, RelativeGroup)]
            group_scores.append(_group_score(graph, standard, placed, relative))
        groups.append((group, bool(absolute), placed))
    fused = _fuse(graph, group_scores)
    unknown, chosen = _choose_model(graph, fused, machine, models, machines)
    lifted = _pick(graph, fused, chosen)
    heads = [(number, model.head) for number, model in enumerate(models) if model.head]
    if heads:
        lifted = graph.node("Add", lifted, _lift(graph, embedding, whites, heads, len(models), chosen))
    # Faults are placed by the models that judge these rows, not by all: for one row that is one of K.
    judging, position_of_row = graph.distinct(chosen)
    known = graph.node("Concat", graph.constant(confirmed.reshape(-1, width)), "confirmed", axis=0)
    separations, fault_sizes = [], []
    for group, in_its_unit, placed in groups:
        judges = group.only(judging)
        if in_its_unit:
            faults = judges.centred(known)
        else:
            faults = graph.node("MatMul", judges.standardise(known), judges.matrix)
        fault_size = _squared_length(graph, faults)
        apart = _separation(graph, graph.node("Gather", placed, judging), faults, fault_size)
        share = graph.constant(np.float32(1 / group.width))  # each group counts the same
        separations.append(graph.node("Mul", apart, share))
        fault_sizes.append(graph.node("Mul", fault_size, share))
    nearness = _nearness(graph, separations, fault_sizes)
    twin = _pick(graph, nearness, graph.node("Unsqueeze", position_of_row, graph.axes(1)))
    tops = [graph.constant(np.float32(scores.max() + TWIN_LIFT)) for scores in (calibration_unknown, calibration)]
    below_top = graph.node("Relu", graph.node("Sub", graph.node("Where", unknown, *tops), lifted))
    graph.node("Add", lifted, graph.node("Mul", twin, below_top), output="score")
    p_values = [_p_value(graph, "score", scores) for scores in (calibration_unknown, calibration)]
    graph.node("Where", unknown, *p_values, output="p_value")
    slope, intercept = (np.float32(at) for at in ((np.nan, np.nan) if odds is None else (odds.slope, odds.intercept)))
    log_odds = graph.node("Add", graph.node("Mul", "score", graph.constant(slope)), graph.constant(intercept))
    graph.node("Sigmoid", log_odds, output="probability")
    return graph.finish(width)


class _Graph:
    """Collects nodes and constants, naming them in order."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[np.generic] | np.generic) -> str:
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:  # noqa: ANN401
        name = output or f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def distinct(self, values: str) -> tuple[str, str]:
        """[any shape] → the distinct values, [U], and where among them each value is, flattened."""
        distinct, position = f"n{len(self._nodes)}", f"n{len(self._nodes)}_position"
        self._nodes.append(helper.make_node("Unique", [values], [distinct, "", position]))
        return distinct, position

    def axes(self, *axes: int) -> str:
        return self.constant(np.array(axes, np.int64))

    def finish(self, width: int) -> bytes:
        inputs = [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", width]),
            helper.make_tensor_value_info("machine", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("confirmed", TensorProto.FLOAT, ["M", width]),
        ]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in OUTPUTS]
        graph = helper.make_graph(self._nodes, "wheeltapper_classifier", inputs, outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


class _Whitened:
    """One group of columns, standardised and whitened by each of K models."""

    def __init__(self, graph: _Graph, fitted: Sequence[Whitening]) -> None:
        self._graph = graph
        columns = fitted[0].columns
        self.width = columns.stop - columns.start
        self._slice = [graph.constant(np.array([v], np.int64)) for v in (columns.start, columns.stop, 1)]
        self._centre = graph.constant(np.stack([white.centre for white in fitted])[:, None])
        self._scale = graph.constant(np.stack([white.scale for white in fitted])[:, None])
        self.matrix = graph.constant(np.stack([white.matrix for white in fitted]))

    def centred(self, rows: str) -> str:
        """[N, all columns] → [K, N, d] less each model's centre."""
        own = self._graph.node("Slice", rows, *self._slice)
        return self._graph.node("Sub", self._graph.node("Unsqueeze", own, self._graph.axes(0)), self._centre)

    def standardise(self, rows: str) -> str:
        """[N, all columns] → [K, N, d] in deviations from each model's centre."""
        return self._graph.node("Div", self.centred(rows), self._scale)

    def only(self, models: str) -> _Whitened:
        """The same under the models of these numbers, int64[U]."""
        chosen = copy(self)
        chosen._centre, chosen._scale, chosen.matrix = (
            self._graph.node("Gather", constant, models) for constant in (self._centre, self._scale, self.matrix)
        )
        return chosen


def _squared_length(graph: _Graph, rows: str) -> str:
    """[K, N, d] → [K, N]."""
    return graph.node("ReduceSumSquare", rows, graph.axes(2), keepdims=0)


def _fuse(graph: _Graph, scores: Sequence[str]) -> str:
    """[K, N] a group → [K, N], as `backends.fuse`; the highest is taken out first, so that nothing overflows."""
    highest = graph.node("Max", *scores)
    sharpness = graph.constant(np.float32(SHARPNESS))
    below = [graph.node("Exp", graph.node("Mul", graph.node("Sub", s, highest), sharpness)) for s in scores]
    spread = graph.node("Log", graph.node("Mean", *below))
    return graph.node("Add", highest, graph.node("Div", spread, sharpness))


def _group_score(graph: _Graph, standard: str, white: str, fitted: Sequence[RelativeGroup]) -> str:
    """[K, N]: the mean of the backends' normalised logs, as `GroupModel.score`."""
    width = fitted[0].borrowed.shape[0]
    same = graph.constant(np.float32(SAME * width))
    borrowed = graph.node("MatMul", standard, graph.constant(np.stack([g.borrowed for g in fitted])))
    densities = np.ones((len(fitted), max(len(g.bank) for g in fitted)))
    for model, group in enumerate(fitted):
        densities[model, : len(group.density)] = group.density
    room = graph.node("Add", _bank_distances(graph, standard, fitted), same)
    ratios = graph.node("Mul", room, graph.constant((densities**-2)[:, None]))
    smallest = graph.node("Log", graph.node("ReduceMin", ratios, graph.axes(2), keepdims=0))
    squares = [_squared_length(graph, rows) for rows in (white, borrowed)]
    logs = (
        *(graph.node("Log", graph.node("Add", square, same)) for square in squares),
        graph.node("Mul", graph.constant(np.float32(0.5)), smallest),
    )
    return _normalised_mean(graph, logs, fitted)


def _absolute_score(graph: _Graph, centred: str, fitted: Sequence[AbsoluteGroup]) -> str:
    """[K, N]: the distance from the nearest normal in the columns' unit, as `GroupModel.score`."""
    nearest = graph.node("ReduceMin", _bank_distances(graph, centred, fitted), graph.axes(2), keepdims=0)
    distance = graph.node("Sqrt", graph.node("Add", nearest, graph.constant(np.float32(SAME_UNIT))))
    return _normalised_mean(graph, [distance], fitted)


def _normalised_mean(graph: _Graph, raw: Sequence[str], fitted: Sequence[GroupModel]) -> str:
    """[K, N] of each backend → [K, N]."""
    terms = []
    for position, of_backend in enumerate(raw):
        offset = graph.constant(np.array([[g.offset[position]] for g in fitted]))
        # The mean over backends is folded into the spread.
        spread = graph.constant(np.array([[len(raw) * g.spread[position]] for g in fitted]))
        terms.append(graph.node("Div", graph.node("Sub", of_backend, offset), spread))
    return graph.node("Sum", *terms)


def _bank_distances(graph: _Graph, rows: str, fitted: Sequence[GroupModel]) -> str:
    """Squared distance of rows [K, N, d] from each bank row of their model, [K, N, R]; filler is never nearest."""
    count, width = max(len(g.bank) for g in fitted), fitted[0].bank.shape[1]
    bank = np.zeros((len(fitted), count, width))
    sizes = np.full((len(fitted), count), _NEVER_NEAREST)
    for model, group in enumerate(fitted):
        own = slice(0, len(group.bank))
        bank[model, own] = group.bank
        # Of the rounded rows, which is what the graph multiplies by.
        sizes[model, own] = (group.bank.astype(np.float32).astype(np.float64) ** 2).sum(1)
    product = graph.node("MatMul", rows, graph.constant(bank.transpose(0, 2, 1)))
    lengths = graph.node("Unsqueeze", _squared_length(graph, rows), graph.axes(2))
    both = graph.node("Add", lengths, graph.constant(sizes[:, None]))
    return graph.node("Relu", graph.node("Sub", both, graph.node("Mul", product, graph.constant(np.float32(2)))))


def _choose_model(
    graph: _Graph, fused: str, machine: str, models: Sequence[MachineModel], machines: Sequence[str]
) -> tuple[str, str]:
    """Whether a row's machine is unknown, bool[N], and the model that judges it, int64[N, 1]."""
    of_machine = {name: number for number, model in reversed(list(enumerate(models))) for name in model.machines}
    table = np.array([0, *(of_machine[name] for name in machines)], np.int64)
    none, count = graph.constant(np.int64(0)), graph.constant(np.int64(len(machines)))
    unknown = graph.node("Or", graph.node("LessOrEqual", machine, none), graph.node("Greater", machine, count))
    own = graph.node("Gather", graph.constant(table), graph.node("Where", unknown, none, machine))
    lowest = graph.node("ArgMin", fused, axis=0, keepdims=0)
    return unknown, graph.node("Unsqueeze", graph.node("Where", unknown, lowest, own), graph.axes(1))


def _pick(graph: _Graph, table: str, chosen: str) -> str:
    """[K, N] and each row's model → [N]."""
    picked = graph.node("GatherElements", graph.node("Transpose", table, perm=[1, 0]), chosen, axis=1)
    return graph.node("Squeeze", picked, graph.axes(1))


def _lift(
    graph: _Graph,
    embedding: str,
    whites: Mapping[str, str],
    heads: Sequence[tuple[int, Head]],
    models: int,
    chosen: str,
) -> str:
    """[N]: `Head.lift` of the head of the model that judges each row, 0 where that has none."""
    numbers = graph.constant(np.array([number for number, _ in heads], np.int64))
    terms = []
    for position, group in enumerate(heads[0][1].groups):
        own = [head.groups[position] for _, head in heads]
        if group.name in whites:  # whitened already, by the very same fit
            white = graph.node("Gather", whites[group.name], numbers)
        else:
            by_heads = _Whitened(graph, [part.whitening for part in own])
            white = graph.node("MatMul", by_heads.standardise(embedding), by_heads.matrix)
        count = max(part.directions.shape[1] for part in own)
        directions = np.zeros((len(own), len(group.directions), count))
        missing, counted = np.zeros((len(own), 1, count)), np.zeros((len(own), 1))
        for number, part in enumerate(own):
            known = part.directions.shape[1]
            directions[number, :, :known] = LIKENESS_SHARPNESS * part.directions
            missing[number, :, known:] = -_NEVER_NEAREST
            counted[number] = np.log(known)
        table = graph.node("Add", graph.node("MatMul", white, graph.constant(directions)), graph.constant(missing))
        highest = graph.node("ReduceMax", table, graph.axes(2), keepdims=1)
        total = graph.node("ReduceSum", graph.node("Exp", graph.node("Sub", table, highest)), graph.axes(2), keepdims=0)
        mean = graph.node("Sub", graph.node("Log", total), graph.constant(counted))
        likeness = graph.node("Add", graph.node("Squeeze", highest, graph.axes(2)), mean)
        # Median and spread of group and head, the weight and the gain, in one scale and one shift.
        scale = [
            head.gain * part.weight / part.spread / head.spread for (_, head), part in zip(heads, own, strict=True)
        ]
        shift = [-by * part.median for by, part in zip(scale, own, strict=True)]
        scaled = graph.node("Mul", likeness, graph.constant(np.array(scale)[:, None] / LIKENESS_SHARPNESS))
        terms.append(graph.node("Add", scaled, graph.constant(np.array(shift)[:, None])))
    beyond = graph.constant(np.array([[head.gain * head.median / head.spread] for _, head in heads]))
    lift = graph.node("Relu", graph.node("Sub", graph.node("Sum", *terms), beyond))
    # Row 0 is of models without a head.
    padded = graph.node("Pad", lift, graph.constant(np.array([1, 0, 0, 0], np.int64)))
    head_of_model = np.zeros(models, np.int64)
    head_of_model[[number for number, _ in heads]] = np.arange(1, len(heads) + 1)
    return _pick(graph, padded, graph.node("Gather", graph.constant(head_of_model), chosen))


def _separation(graph: _Graph, rows: str, faults: str, fault_size: str) -> str:
    """Squared distance of each row from each confirmed fault, [U, N, C]."""
    product = graph.node("MatMul", rows, graph.node("Transpose", faults, perm=[0, 2, 1]))
    row_size = graph.node("Unsqueeze", _squared_length(graph, rows), graph.axes(2))
    sizes = graph.node("Add", row_size, graph.node("Unsqueeze", fault_size, graph.axes(1)))
    return graph.node("Sub", sizes, graph.node("Mul", product, graph.constant(np.float32(2))))


def _nearness(graph: _Graph, separations: Sequence[str], fault_sizes: Sequence[str]) -> str:
    """How near a row is to a confirmed fault, [U, N]: 1 a twin, 0 anything else.

    With squared distances d(row, fault) and d(fault, centre), whitened or in their unit:
    2 - 4 d(row, fault) / d(fault, centre), cut at 0 and 1. A twin lies within a quarter; a normal row is about as far
    from the fault as the centre is and stays untouched: already from a half on nothing is lifted.
    """
    apart = graph.node("Sum", *separations)
    size = graph.node("Unsqueeze", graph.node("Sum", *fault_sizes), graph.axes(1))
    share = graph.node("Div", apart, graph.node("Max", size, graph.constant(np.float32(1e-6))))
    ramp = graph.node("Sub", graph.constant(np.float32(2)), graph.node("Mul", share, graph.constant(np.float32(4))))
    near = graph.node("Clip", ramp, graph.constant(np.float32(0)), graph.constant(np.float32(1)))
    # A column of zeros: without a confirmed fault there is still something to take the maximum of.
    nobody = graph.node("Pad", near, graph.constant(np.array([0, 0, 0, 0, 0, 1], np.int64)))
    return graph.node("ReduceMax", nobody, graph.axes(2), keepdims=0)


def _p_value(graph: _Graph, score: str, calibration: NDArray[np.float32]) -> str:
    column = graph.node("Unsqueeze", score, graph.axes(1))
    reached = graph.node("GreaterOrEqual", graph.constant(calibration[None].astype(np.float32)), column)
    counted = graph.node("ReduceSum", graph.node("Cast", reached, to=TensorProto.FLOAT), graph.axes(1), keepdims=0)
    ranks = graph.node("Add", counted, graph.constant(np.float32(1)))
    return graph.node("Div", ranks, graph.constant(np.float32(len(calibration) + 1)))
