"""The loop, its optimizer, its schedule, its devices."""
