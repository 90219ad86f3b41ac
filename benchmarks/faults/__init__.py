"""Faults caused for real, many times: what is lost, doubled or left broken afterwards."""
