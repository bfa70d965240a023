"""What is measured of a defense beside attacks: robustness, certificates, norms."""
