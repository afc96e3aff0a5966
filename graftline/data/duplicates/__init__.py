"""Search for near duplicates among perceptual hashes."""
