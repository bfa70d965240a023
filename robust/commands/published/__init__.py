"""What `robust evaluate --table` shows and keeps of a paper's numbers and ours."""
