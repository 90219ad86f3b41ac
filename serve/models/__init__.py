"""The model that serves: following `current.json`, changing it, where a model comes from, another encoder."""
