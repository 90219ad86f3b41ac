"""Watches over what the service says and hears: quality of the answered predictions, drift, and what comes of both.

Talks HTTP to serve, reads `ref_data.csv` and `prod_data.csv`, and knows nothing of either's insides.
"""
