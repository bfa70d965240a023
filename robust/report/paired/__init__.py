"""Two runs of a page are compared image by image, in the browser."""
