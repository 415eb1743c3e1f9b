"""Plugins: found, loaded in a sandbox, listed in a catalogue of names."""
