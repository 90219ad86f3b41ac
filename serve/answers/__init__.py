"""What people said: `prod_data.csv`, the faults confirmed since the last training, an answer's receipt."""
