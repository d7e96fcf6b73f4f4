"""What is written in the documentation is so."""
