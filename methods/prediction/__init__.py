"""Weights predicted from few: dictionaries, layers that learn the few, layer-wise pre-training."""
