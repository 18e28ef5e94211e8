"""Where readers read: Label Studio, its local server, and the simulated reader."""
