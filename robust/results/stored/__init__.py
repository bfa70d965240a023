"""What is stored of an evaluation is read with suspicion: headers, checksums, rows."""
