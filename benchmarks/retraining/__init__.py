"""The whole loop on real clips: predictions, answers, a retrain, a hot swap under load."""
