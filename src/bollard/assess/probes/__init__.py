"""What looks: everything here does I/O and returns frozen evidence; nothing here judges."""
