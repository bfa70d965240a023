"""A card is what is handed in with a robust accuracy: all of it from records, none of it typed."""
