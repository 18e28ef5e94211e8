"""Ways of choosing films of a pool, a module each."""
