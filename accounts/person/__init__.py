"""A person's page in the staff panel: what is known about somebody, and what staff may do about it."""
