"""The documented tables row by row: both real ends, on a virtual network and clock."""
