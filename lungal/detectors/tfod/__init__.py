"""The TensorFlow Object Detection API, behind the seams in lungal.detectors.protocol."""
