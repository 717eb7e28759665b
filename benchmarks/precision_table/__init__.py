"""What lower precision and other widths gain, and what they do to texts: one table for each model."""
