"""How the database comes to be."""
