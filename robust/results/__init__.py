"""What records say: metrics, verdicts, tables and curves, without torch."""
