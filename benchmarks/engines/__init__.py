"""What carrying messages costs on each engine, beside that engine's bare client in the same run."""
