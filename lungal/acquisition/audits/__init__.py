"""What must be true of each selector's choice, checked by code that shares little with it."""
