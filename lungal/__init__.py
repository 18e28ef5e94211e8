"""Experiment-tracked active learning that finds lung abnormalities on chest X-rays."""
