"""A stand-in for the detector in wide sweeps: a light head on a frozen backbone."""
