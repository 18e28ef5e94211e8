"""The stages of `dvc.yaml`, one module each: parse, read, one or two library calls, write."""
