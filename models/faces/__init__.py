"""Face mathematics and engines: from a picture to an account, with the evidence."""
