"""Drift: false alarms over repeated looks, clips until a known shift is found, methods compared, speed, memory."""
