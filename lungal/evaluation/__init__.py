"""Judging detections against ground truth, on plain arrays; pictures of readers, campaigns too."""
