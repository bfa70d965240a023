"""The weighted nonlocal Laplacian as the last layer of a network."""
