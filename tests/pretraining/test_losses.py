"""What training and fine-tuning learn by: the detector's own scores, and faults above healthy clips."""

import numpy as np
import torch

from audio_pipeline.detector.backends import SAME, AbsoluteGroup, RelativeGroup
from audio_pipeline.pretraining.losses import absolute_distances, fused_ranking, log_scores, ranking


def test_log_scores_are_the_detectors():
    rng = np.random.default_rng(0)
    spread = np.linspace(0.1, 3, 40)
    known, new = (rng.normal(size=(n, 40)) * spread for n in (9, 5))
    detector = RelativeGroup.fit("any", slice(0, 40), known)
    scores = dict(zip(RelativeGroup.BACKENDS, detector.raw_scores(new), strict=True))
    mahalanobis, neighbour, local_density = log_scores(torch.from_numpy(known), torch.from_numpy(new)).numpy()
    np.testing.assert_allclose(mahalanobis, scores["mahalanobis"], atol=1e-3)
    np.testing.assert_allclose(local_density, scores["local_density"], atol=1e-3)
    nearest = np.linalg.norm((new[:, None] - known[None]) / known.std(0), axis=2).min(1)
    np.testing.assert_allclose(neighbour, 0.5 * np.log(nearest**2 + SAME * 40), atol=1e-3)


def test_absolute_distances_are_the_detectors():
    rng = np.random.default_rng(0)
    known, new = (rng.normal(size=(n, 8)) * np.linspace(0.1, 3, 8) for n in (9, 5))
    detector = AbsoluteGroup.fit("any", slice(0, 8), known)
    distances = absolute_distances(torch.from_numpy(known), torch.from_numpy(new)).numpy()
    np.testing.assert_allclose(distances, detector.raw_scores(new), rtol=1e-9)


def test_ranking_is_low_when_faults_stand_above_healthy_clips():
    fault = torch.tensor([False, False, True])
    assert ranking(torch.tensor([0.0, 1.0, 9.0]), fault) < 0.01 < ranking(torch.tensor([0.0, 1.0, 0.5]), fault)


def test_a_group_that_shows_the_fault_has_a_lower_loss_and_lowers_the_fused_one():
    rng = torch.Generator().manual_seed(0)
    fault = torch.arange(12).repeat(2, 1) >= 9
    blind, seeing = (torch.randn(2, 12, 6, generator=rng) for _ in range(2))
    seeing[fault] += 5
    alone = {name: fused_ranking({name: of}, [6, 6], fault) for name, of in (("blind", blind), ("seeing", seeing))}
    assert alone["seeing"] < 0.5 * alone["blind"]
    assert fused_ranking({"blind": blind, "seeing": seeing}, [6, 6], fault) < 0.5 * alone["blind"]
