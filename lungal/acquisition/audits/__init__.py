"""What must be true of each selector's choice, checked without knowing how it was made."""
