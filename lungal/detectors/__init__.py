"""What finds boxes on films."""
