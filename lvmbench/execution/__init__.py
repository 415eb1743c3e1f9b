"""Execution: jobs, the workers that do them, and where they run."""
