"""Transfer of a source's weights into a network."""
