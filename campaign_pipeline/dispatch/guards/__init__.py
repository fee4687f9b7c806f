"""What is asked before each claim: one file a guard, behind one small protocol (base.py)."""
