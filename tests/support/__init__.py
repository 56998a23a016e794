"""What the test rooms share. No test lives here."""
