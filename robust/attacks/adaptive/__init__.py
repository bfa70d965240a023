"""What hides the gradient of a network is looked for, and views are built that show it."""
