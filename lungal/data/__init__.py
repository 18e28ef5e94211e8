"""Films, manifests, splits, labels, the annotation log and TFRecords."""
