"""What several readings of a film add up to, and how well readers read: pure functions."""
