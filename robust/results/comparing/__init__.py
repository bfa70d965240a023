"""Two networks are compared on the same images, and several seeds of one config."""
