"""Image sets that lie in files: folders, lists, arrays, and sets of Hugging Face."""
