"""The weighted nonlocal Laplacian is the last layer of a network here."""
