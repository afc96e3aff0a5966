"""Files of a folder, bucket prefix, zip or tar behind one interface, without extracting anything."""
