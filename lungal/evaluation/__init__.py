"""Judging detections against ground truth, on plain arrays."""
