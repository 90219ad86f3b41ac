"""Synthetic machines with every fault at rising severity: what encoders and detectors are chosen on.

Real labelled clips are for measuring once; whatever is chosen (groups, backends, fusion, a checkpoint) is chosen here.
"""
