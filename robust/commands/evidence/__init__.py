"""What makes a number believable: comparisons, requirements, cards and their verification."""
