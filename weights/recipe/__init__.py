"""How the embedded bundle is made: one module a stage; `../build_mini.py` runs them."""
