"""A network of somebody else becomes a defense, once some images have shown that it fits."""
